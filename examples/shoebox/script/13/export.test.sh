try 'export --in music' is 'date,amount,category,note' '2024-04-02,9.99,music,"concert, ""live"""'
try 'export --in rent' has '2024-02-27,800.00,rent,"March, paid early"'
try 'export | wc -l | tr -d " "' is 9
try 'export --in gold' is 'date,amount,category,note'
