#: help -- show this
echo "shoebox: where did the money go?"
echo
sed -n 's/^#: //p' "$home"/lib/cmd-*.sh | awk -F ' -- ' '
    length($1) > 30 { print "  shoebox " $1; printf "%40s %s\n", "", $2; next }
    { printf "  shoebox %-30s %s\n", $1, $2 }'
