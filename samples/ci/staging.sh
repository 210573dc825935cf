#!/bin/sh
# Starts the service under learn and uses it as production would: profiles are as good as this is thorough.
# Put your own service and its tests here. Usage: staging.sh LEARN OPTIONS…, before `-- PROGRAM`.
set -eu

service=${SERVICE:-$PWD/service}
port=${PORT:-18184}
"$@" -- /usr/bin/python3 -B "$service/service.py" "$port" </dev/null &
learner=$!
curl --silent --fail --retry 100 --retry-connrefused --retry-delay 1 --max-time 60 --noproxy '*' \
    "http://127.0.0.1:$port/week"
wait "$learner"
