# Prints the shares of a bill in cents, a line for each person. Who shares it is a number of
# people (3) or a list of weights (2:1:1); people without weights weigh one each.
shares() {
    weights=$(people "$2")
    [ "$1" -ge 0 ] || die "a refund cannot be split"
    sum=0
    for weight in $weights; do sum=$((sum + weight)); done
    for weight in $weights; do echo $((($1 * weight + sum / 2) / sum)); done
}

# Prints the weight of each person: people 3 -> 1 1 1, people 2:1 -> 2 1
people() {
    case $1 in
        [1-9] | [1-9][0-9])
            count=$1
            while [ "$count" -gt 0 ]; do
                echo 1
                count=$((count - 1))
            done
            ;;
        *:*)
            case ":$1:" in *:0* | *::* | *[!0-9:]* | *[0-9][0-9][0-9]*)
                die "'$1': a weight is a number from 1 to 99" ;;
            esac
            echo "$1" | tr : '\n'
            ;;
        *) die "'$1': a bill has between 1 and 99 people" ;;
    esac
}
