#!/bin/sh
# Runs the tests: sh tests/run.sh [NAME...]. Each tests/NAME.test.sh is a list of tries, see try.sh.
set -u
cd "$(dirname -- "$0")/.." || exit 2
tried=0 failed=0

try() {
    tried=$((tried + 1))
    sh tests/try.sh "$@" || failed=$((failed + 1))
}

if [ $# -eq 0 ]; then
    for file in tests/*.test.sh; do
        file=${file##*/}
        set -- "$@" "${file%.test.sh}"
    done
fi
for name in "$@"; do
    if [ ! -f "tests/$name.test.sh" ]; then
        echo "there are no tests named $name"
        exit 2
    fi
    before=$failed
    . "./tests/$name.test.sh"
    if [ "$failed" -eq "$before" ]; then echo "ok      $name"; else echo "FAILED  $name"; fi
done
echo "$tried tried, $failed failed"
[ "$failed" -eq 0 ]
