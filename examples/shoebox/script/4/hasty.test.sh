try 'total --in food' is 99.80
