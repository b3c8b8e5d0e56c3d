#: where [--month M] [--in C] [--like TEXT] -- show where the money went, by category
. "$home/lib/select.sh"
. "$home/lib/where.sh"
selection "$@"
by_category | awk -F '\t' '
    { category[NR] = $1; cents[NR] = $2; sum += $2 }
    END {
        for (i = 1; i <= NR; i++)
            printf "%s\t%d\t%d\n", category[i], cents[i], (sum ? cents[i] * 100 / sum + 0.5 : 0)
    }' |
    while IFS=$tab read -r name sum percent; do
        printf '%-9s %9s %4d%%\n' "$name" "$(money "$sum")" "$percent"
    done
