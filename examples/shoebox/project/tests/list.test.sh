try 'list' has '2024-03-21     37.40  food      birthday cake'
try 'list | sed -n 6p' is '2024-03-14     -6.00  books     returned one'
try 'add --on 2024-01-05 3 food first' 'list | sed 1q' is '2024-01-05      3.00  food      first'
