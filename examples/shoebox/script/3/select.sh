# Chooses entries. A command calls 'selection "$@"' with its arguments, then pipes 'selected'.

# Reads --month YYYY-MM (or 'this'), --in CATEGORY and --like TEXT.
selection() {
    month='' category='' like=''
    while [ $# -gt 0 ]; do
        [ $# -ge 2 ] || die "$1 wants a value"
        case $1 in
            --month) month=$2 ;;
            --in) category=$2 ;;
            --like) like=$2 ;;
            *) die "there is no selection $1; there are --month, --in and --like" ;;
        esac
        shift 2
    done
    if [ "$month" = this ]; then
        month=$(today)
        month=${month%-*}
    fi
}

# Prints the chosen entries, the oldest first.
selected() {
    entries | MONTH=$month CATEGORY=$category LIKE=$like awk -F '\t' '
        index($1, ENVIRON["MONTH"]) != 1 && ENVIRON["MONTH"] != "" { next }
        $3 != ENVIRON["CATEGORY"] && ENVIRON["CATEGORY"] != "" { next }
        ENVIRON["LIKE"] == "" || index(tolower($4), tolower(ENVIRON["LIKE"]))'
}
