# Prints what the selected entries come to by category, in cents, the most expensive first.
by_category() {
    selected | awk -F '\t' '
        { sub(/\./, "", $2); sum[$3] += $2 }
        END { for (category in sum) printf "%s\t%d\n", category, sum[category] }' |
        sort -t "$tab" -k 2,2nr -k 1,1
}
