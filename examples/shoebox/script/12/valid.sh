# Prints what is wrong with the lines of a file in the box's format, a line for each fault.
# The second argument is how many lines stood before its first one.
faults() {
    awk -F '\t' -v before="${2:-0}" '
        function fault(text) { print "line " NR + before ": " text }
        NF < 3 || NF > 4 { fault("there are " NF " fields, not 4"); next }
        $1 !~ /^[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]$/ { fault("\"" $1 "\" is no date") }
        $2 !~ /^-?[0-9]+\.[0-9][0-9]$/ { fault("\"" $2 "\" is no amount") }
        $3 !~ /^[a-z-]+$/ { fault("\"" $3 "\" is no category") }' "$1"
}
