# Prints the shares of a bill in cents, a line for each person. They always add up to the bill:
# the first ones pay the cents that are left over.
shares() {
    case $2 in
        [1-9] | [1-9][0-9]) ;;
        *) die "'$2': a bill has between 1 and 99 people" ;;
    esac
    [ "$1" -ge 0 ] || die "a refund cannot be split"
    each=$(($1 / $2)) over=$(($1 % $2)) person=0
    while [ "$person" -lt "$2" ]; do
        echo $((each + (person < over)))
        person=$((person + 1))
    done
}
