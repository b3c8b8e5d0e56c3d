try 'where --month 2024-03' is \
    'food          99.80   84%' \
    'books         12.00   10%' \
    'coffee         7.25    6%'
try 'where | sed 1q' is 'rent         800.00   86%'
try 'where --in gold' is ''
