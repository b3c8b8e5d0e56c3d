# The box: a text file with a line for every entry, its fields apart by tabs:
# date, amount, category, note. A refund has a negative amount.
SHOEBOX_FILE=${SHOEBOX_FILE:-${HOME:-.}/.shoebox}
export SHOEBOX_FILE
tab=$(printf '\t')

die() {
    echo "shoebox: $*" >&2
    exit 1
}

today() {
    date +%Y-%m-%d
}

# Prints all entries, the oldest first; those of one day in the order they were written down.
entries() {
    [ ! -f "$SHOEBOX_FILE" ] || awk '{ print NR "\t" $0 }' "$SHOEBOX_FILE" |
        sort -t "$tab" -k 2,2 -k 1,1n | cut -f 2-
}
