#: total [--month M] [--in C] [--like TEXT] -- add it all up
. "$home/lib/select.sh"
selection "$@"
selected | awk -F '\t' '{
    split($2, part, ".")
    whole += part[1]
    cents += part[2]
} END { printf "%d.%d\n", whole + cents / 100, cents % 100 }'
