#!/bin/sh
# Runs shoebox commands on a throw-away copy of march.box and looks at what the last one prints:
#   sh tests/try.sh COMMAND... is LINE...      it prints exactly these lines
#   sh tests/try.sh COMMAND... has TEXT...     it works, and prints each of these texts
#   sh tests/try.sh COMMAND... refuses TEXT... it refuses, and says each of these texts
# Files that a command names are in a directory of their own, except for "$tests"/....
set -u
tests=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
box=${TMPDIR:-/tmp}/shoebox-try.$$
mkdir -m 700 "$box" || exit 2
trap 'cd / && rm -rf "$box"' EXIT
trap 'exit 2' HUP INT TERM
cp "$tests/march.box" "$box/box" && cd "$box" || exit 2
SHOEBOX_FILE=$box/box
export SHOEBOX_FILE

shoebox() {
    sh "$tests/../shoebox" "$@"
}

fail() {
    printf '%s\n' "shoebox $last" "$1" "  but got: ${got:-nothing}" "  (exit code $code)"
    exit 1
}

last=help got='' code=0
while [ $# -gt 0 ]; do
    case $1 in is | has | refuses) break ;; esac
    [ "$code" -eq 0 ] || fail "  should have worked"
    last=$1
    got=$(eval "shoebox $1" 2>&1)
    code=$?
    shift
done
mode=${1:-has}
[ $# -eq 0 ] || shift
case $mode in
    refuses) [ "$code" -ne 0 ] || fail "  should have been refused" ;;
    *) [ "$code" -eq 0 ] || fail "  should have worked" ;;
esac
if [ "$mode" = is ]; then
    want=$(printf '%s\n' "$@")
    [ "$got" = "$want" ] || fail "  should print: $want"
else
    for text in "$@"; do
        case $got in *"$text"*) ;; *) fail "  should say: $text" ;; esac
    done
fi
