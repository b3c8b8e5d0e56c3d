#: list -- show what is in the box
entries | awk -F '\t' '{
    line = sprintf("%s %9s  %-9s %s", $1, $2, $3, $4)
    sub(/ +$/, "", line)
    print line
}'
