try 'help' has 'shoebox add' 'shoebox list'
try '' has 'where did the money go'
try 'dance' refuses "there is no command 'dance'"
try '--dance' refuses 'there is no option --dance'
try '--version' is 'shoebox 0.1'
