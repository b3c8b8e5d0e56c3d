#: import FILE -- take in CSV, all of it or nothing
. "$home/lib/valid.sh"
[ $# -eq 1 ] || die "import wants a file"
[ -f "$1" ] || die "there is no file $1"
case $(sed 1q "$1" | tr -d '\r') in
    date,amount,category,note) ;;
    *) die "$1, line 1: does not begin with date,amount,category,note" ;;
esac
new=$SHOEBOX_FILE.import
trap 'rm -f "$new"' EXIT
sed 1d "$1" | tr '\t' ' ' | tr -d '\r' | awk '{
    line = ""
    quoted = 0
    for (i = 1; i <= length($0); i++) {
        c = substr($0, i, 1)
        if (c == "\"" && quoted && substr($0, i + 1, 1) == "\"") { line = line c; i++ }
        else if (c == "\"") quoted = !quoted
        else if (c == "," && !quoted) line = line "\t"
        else line = line c
    }
    print line
}' >"$new"
found=$(faults "$new" 1)
[ -z "$found" ] || die "nothing was imported from $1:
$found"

# An entry that is in the box already is not taken in twice.
touch "$SHOEBOX_FILE"
awk -v box="$SHOEBOX_FILE" '
    BEGIN { while ((getline line < box) > 0) there[line] = 1 }
    $0 in there { known++; next }
    { print >>box; added++ }
    END { print added + 0 " added, " known + 0 " already there" }' "$new"
