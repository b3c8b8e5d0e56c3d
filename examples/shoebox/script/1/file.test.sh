try '--file other.box add --on 2024-05-01 4 coffee' '--file other.box list' is '2024-05-01      4.00  coffee'
try '--file other.box add --on 2024-05-01 4 coffee' 'list | wc -l | tr -d " "' is 8
try '--file nowhere.box list' is ''
try '--file' refuses '--file wants a file'
