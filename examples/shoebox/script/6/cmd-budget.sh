#: budget [set CATEGORY AMOUNT | --month M] -- keep an eye on what a category may cost in a month
. "$home/lib/select.sh"
. "$home/lib/where.sh"
budgets=$SHOEBOX_FILE.budget

if [ "${1:-}" = set ]; then
    [ $# -eq 3 ] || die "budget set wants a category and an amount"
    limit=$(cents "$3")
    if [ -f "$budgets" ]; then
        grep -v "^$2$tab" "$budgets" >"$budgets.new" || :
    fi
    printf '%s\t%s\n' "$2" "$limit" >>"$budgets.new"
    mv "$budgets.new" "$budgets"
    echo "$2 may cost $(money "$limit") a month"
    exit 0
fi

[ $# -gt 0 ] || set -- --month this
selection "$@"
[ -f "$budgets" ] || die "no budget is set; try 'shoebox budget set food 200'"
by_category | awk -F '\t' '
    file == 1 { spent[$1] = $2 }
    file == 2 { printf "%s\t%d\t%d\n", $1, spent[$1], $2 }' file=1 - file=2 "$budgets" |
    while IFS=$tab read -r name spent limit; do
        rest=$((limit - spent)) word=left
        [ "$rest" -ge 0 ] || { rest=$((-rest)) word=over; }
        printf '%-9s %9s of %9s %9s %s\n' \
            "$name" "$(money "$spent")" "$(money "$limit")" "$(money "$rest")" "$word"
    done
