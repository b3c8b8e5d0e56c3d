#: mine AMOUNT PEOPLE|WEIGHTS CATEGORY [NOTE] -- write down only your share of a bill
. "$home/lib/share.sh"
[ $# -ge 3 ] || die "mine wants an amount, who shares it, and a category"
bill=$(cents "$1")
all=$(shares "$bill" "$2")
shift 2
for share in $all; do break; done
sh "$home/shoebox" add "$(money "$share")" "$@"
