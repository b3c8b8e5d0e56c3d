#: chart [--month M] [--in C] [--like TEXT] -- draw where the money went
. "$home/lib/select.sh"
. "$home/lib/where.sh"
selection "$@"
# The longest bar has 20 marks; a refund has none.
by_category | awk -F '\t' '
    NR == 1 { most = $2 }
    { printf "%s\t%d\t%d\n", $1, $2, ($2 > 0 ? $2 * 20 / most + 0.5 : 0) }' |
    while IFS=$tab read -r name sum marks; do
        bar=$(printf '%*s' "$marks" '' | tr ' ' '#')
        printf '%-9s %s%s\n' "$name" "${bar:+$bar }" "$(money "$sum")"
    done
