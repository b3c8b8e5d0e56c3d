# Amounts of money. People write 4, 4.5 or 4.05; we count in cents, so that nothing is lost.

# Prints the cents of an amount, or refuses it: cents 4.05 -> 405
cents() {
    case $1 in
        '' | *[!0-9.-]* | ?*-* | - | *.*.* | *.???* | *. | .* | -.* | ??????????????*)
            die "'$1' is no amount; write it like 4 or 4.05" ;;
    esac
    sign='' whole=${1#-} part=00
    case $1 in -*) sign=- ;; esac
    case $whole in
        *.??) part=${whole#*.} ;;
        *.?) part=${whole#*.}0 ;;
    esac
    whole=${whole%%.*}
    # A leading zero would make the number octal.
    while [ "${whole#0}" != "$whole" ] && [ "$whole" != 0 ]; do whole=${whole#0}; done
    echo "$sign$((whole * 100 + 1$part - 100))"
}

# Prints cents as an amount: money 405 -> 4.05
money() {
    case $1 in
        -*) printf -- '-%d.%02d\n' $((${1#-} / 100)) $((${1#-} % 100)) ;;
        *) printf '%d.%02d\n' $(($1 / 100)) $(($1 % 100)) ;;
    esac
}
