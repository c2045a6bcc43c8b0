#!/bin/sh
# Trace a program that leaks, then the same program with the leak fixed.
# Needs cc and gdbleak on the PATH; `make demo` sees to both.
set -eu
cd "$(dirname "$0")"

builds=$(mktemp -d)
pid=
clean_up() {
    rm -r "$builds"
    if [ -n "$pid" ]; then kill "$pid"; fi
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

mkfifo "$builds/said"
for program in fibonacci fibonacci_fixed; do
    cc -O2 -g -pthread -o "$builds/$program" "$program.c"
    printf '\n$ ./%s 10 &\n' "$program"
    "$builds/$program" 10 >"$builds/said" &
    pid=$!
    read -r said <"$builds/said"
    echo "$said"
    show gdbleak trace "$pid" --duration 4
    kill "$pid"
    wait "$pid"
    pid=
done
