#: report [MONTH] -- put a month on one page
if [ $# -gt 0 ]; then
    month=$1
else
    month=$(today)
    month=${month%-*}
fi
case $month in
    [0-9][0-9][0-9][0-9]-[01][0-9]) ;;
    *) die "'$month' is no month; write it like 2024-03" ;;
esac

# Runs another command of shoebox, a little indented.
part() {
    sh "$home/shoebox" "$@" --month "$month" | sed 's/^/  /'
}

echo "$month"
echo "spent"
part total
echo "where it went"
part where
if [ -f "$SHOEBOX_FILE.budget" ]; then
    echo "budgets"
    part budget
fi
