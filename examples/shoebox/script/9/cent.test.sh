# The cent that got lost: whatever is split, the shares add up to the bill.
try 'split 10.00 7 | sed "s/[.]//" | awk "{ s += \$1 } END { print s }"' is 1000
try 'split 20.00 3' is 6.67 6.67 6.66
try 'split 0.01 3' is 0.01 0.00 0.00
