try 'total' is 929.04
try 'total --month 2024-03' is 119.05
try 'total --in books' is 12.00
try 'add --on 2024-05-01 -0.75 refund' 'total --in refund' is -0.75
try 'total --in gold' is 0.00
try 'total all' refuses 'wants a value'
