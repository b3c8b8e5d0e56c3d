#: add [--on DATE] AMOUNT CATEGORY [NOTE] -- write down what you spent
on=$(today)
if [ "${1:-}" = --on ] && [ $# -ge 2 ]; then
    on=$2
    shift 2
fi
[ $# -ge 2 ] || die "add wants an amount and a category"
case $on in
    [0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]) ;;
    *) die "'$on' is no date; write it like 2024-03-14" ;;
esac
amount=$(cents "$1")
category=$2
shift 2
case $category in
    '' | *[!a-z-]*) die "'$category' is no category; use small letters" ;;
esac
note=$(printf '%s' "$*" | tr '\t\n' '  ')
amount=$(money "$amount")
printf '%s\t%s\t%s\t%s\n' "$on" "$amount" "$category" "$note" >>"$SHOEBOX_FILE"
echo "added $amount $category"
