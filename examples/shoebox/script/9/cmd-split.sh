#: split AMOUNT PEOPLE -- share a bill, down to the last cent
. "$home/lib/share.sh"
[ $# -eq 2 ] || die "split wants an amount and who shares it"
bill=$(cents "$1")
all=$(shares "$bill" "$2")
for share in $all; do money "$share"; done
