try 'mine 90.00 2:1 rent the flat' is 'added 60.00 rent'
try 'mine 90.00 3 food pizza' 'list' has '30.00  food      pizza'
try 'mine 90.00 3' refuses 'and a category'
try 'mine 90.00 2:x food' refuses 'a weight is a number'
