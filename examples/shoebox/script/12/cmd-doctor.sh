#: doctor -- look for lines in the box that make no sense
. "$home/lib/valid.sh"
[ -f "$SHOEBOX_FILE" ] || die "there is no box at $SHOEBOX_FILE"
found=$(faults "$SHOEBOX_FILE")
[ -z "$found" ] || die "the box needs a hand:
$found"
echo "$(awk 'END { print NR }' "$SHOEBOX_FILE") entries, all well"
