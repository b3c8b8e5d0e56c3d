try 'list --month 2024-03 | wc -l | tr -d " "' is 6
try 'list --in coffee --like ADA' is '2024-03-01      4.05  coffee    with Ada'
try '--today 2024-04-30 list --month this' is '2024-04-02      9.99  music     concert, "live"'
try 'list --in gold' is ''
try 'list --month' refuses '--month wants a value'
try 'list --colour red' refuses 'there is no selection --colour'
