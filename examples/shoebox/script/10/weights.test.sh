try 'split 90.00 2:1' is 60.00 30.00
try 'split 100.00 2:1:1' is 50.00 25.00 25.00
try 'split 90.00 3' is 30.00 30.00 30.00
try 'split 90.00 2:0' refuses 'a weight is a number from 1 to 99'
try 'split 90.00 2:' refuses 'a weight is a number from 1 to 99'
