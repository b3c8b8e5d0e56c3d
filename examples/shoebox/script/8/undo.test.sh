try 'undo' is 'took back -6.00 books: returned one'
try 'undo' 'undo' is 'took back 9.99 music: concert, "live"'
try 'undo' 'list | wc -l | tr -d " "' is 7
try 'add 4 coffee' 'undo' is 'took back 4.00 coffee'
try 'undo; : >"$SHOEBOX_FILE"' 'undo' refuses 'the box is empty'
