#: export [--month M] [--in C] [--like TEXT] -- print CSV for a spreadsheet
. "$home/lib/select.sh"
selection "$@"
echo "date,amount,category,note"
selected | awk -F '\t' '
    function quoted(text) {
        if (text !~ /[",]/) return text
        gsub(/"/, "\"\"", text)
        return "\"" text "\""
    }
    { print $1 "," $2 "," $3 "," quoted($4) }'
