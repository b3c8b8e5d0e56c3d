try '--today 2024-05-17 add 4 coffee' 'list | sed -n "\$p"' is '2024-05-17      4.00  coffee'
try '--today 2024-05-17 add --on 2024-05-01 4 coffee' 'list | sed -n "\$p"' has '2024-05-01'
try '--today' refuses '--today wants a date'
try '--today soon add 4 coffee' refuses "'soon' is no date"
