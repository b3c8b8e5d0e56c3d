try 'budget set food 90' is 'food may cost 90.00 a month'
try 'budget set food 90' 'budget set coffee 10' 'budget --month 2024-03' is \
    'food          99.80 of     90.00      9.80 over' \
    'coffee         7.25 of     10.00      2.75 left'
try 'budget set food 90' 'budget set food 100' 'budget --month 2024-03' is \
    'food          99.80 of    100.00      0.20 left'
try 'budget set music 20' '--today 2024-04-05 budget' has '9.99 of     20.00     10.01 left'
try 'budget' refuses 'no budget is set'
try 'budget set food' refuses 'a category and an amount'
