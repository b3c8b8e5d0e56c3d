try 'report 2024-03' is '2024-03' 'spent' '  119.05' 'where it went' \
    '  food          99.80   84%' '  books         12.00   10%' '  coffee         7.25    6%'
try 'budget set books 10' 'report 2024-03' has 'budgets' '2.00 over'
try '--today 2024-04-09 report' has '2024-04' '9.99  100%'
try 'report March' refuses "'March' is no month"
