#: undo -- take back what you wrote down last
last=$(sed -n '$p' "$SHOEBOX_FILE" 2>/dev/null) || :
[ -n "$last" ] || die "the box is empty; there is nothing to take back"
# The new box replaces the old one as a whole, so that no crash leaves half of it.
sed '$d' "$SHOEBOX_FILE" >"$SHOEBOX_FILE.new"
mv "$SHOEBOX_FILE.new" "$SHOEBOX_FILE"
printf '%s\n' "$last" | awk -F '\t' '{ print "took back " $2 " " $3 ($4 == "" ? "" : ": " $4) }'
