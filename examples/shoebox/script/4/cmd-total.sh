#: total [--month M] [--in C] [--like TEXT] -- add it all up
. "$home/lib/select.sh"
selection "$@"
money "$(selected | awk -F '\t' '{ sub(/\./, "", $2); sum += $2 } END { printf "%d\n", sum }')"
