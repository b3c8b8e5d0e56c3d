try 'split 10.00 2' is 5.00 5.00
try 'split 10.00 3' is 3.34 3.33 3.33
try 'split 0.05 2' is 0.03 0.02
try 'split 10.00 0' refuses 'between 1 and 99 people'
try 'split 10.00 two' refuses 'between 1 and 99 people'
try 'split -4.00 2' refuses 'a refund cannot be split'
