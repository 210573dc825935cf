#!/bin/sh
# Learns what a Python service needs before and after a dependency begins to start a program: DIR/old.json and
# DIR/new.json. Usage: learn.sh LEARN DIR. Needs python3 and curl; the service is put into DIR/service.
set -eu

learn=$1
dir=$2
service=$dir/service
here=$(cd "$(dirname "$0")" && pwd)
# The system's own Python, found without a wrapper and without what was installed beside it.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p "$service"
chmod 755 "$dir" "$service"
cp "$here/service.py" "$service"

for release in old new; do
    rm -rf "$service/learned" "$service/__pycache__"
    cp "$here/$release/report.py" "$service"
    "$learn" --quiet -o "$service/learned" -- python3 -S -B "$service/service.py" 18183 </dev/null 2>"$service/log" &
    learner=$!
    curl --silent --fail --retry 100 --retry-connrefused --retry-delay 1 --max-time 60 --noproxy '*' \
        http://127.0.0.1:18183/week
    wait "$learner"
    mv "$service/learned/learned.json" "$dir/$release.json"
done
