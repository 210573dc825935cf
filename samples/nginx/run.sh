#!/bin/sh
# Learns from a real nginx: starts it, fetches from it, reloads it, stops it, and shows what was learned.
# Usage: run.sh LEARN (path of the learn binary). Needs nginx and curl; works as root and as a normal user.
set -eu

if [ "$#" -ne 1 ]; then
    echo "usage: $0 LEARN" >&2
    exit 2
fi
case $1 in
    /*) learn=$1 ;;
    *) learn=$PWD/$1 ;;
esac
PATH=$PATH:/usr/sbin:/sbin
for program in nginx curl "$learn"; do
    if ! command -v "$program" >/dev/null; then
        echo "$0: $program is not here" >&2
        exit 1
    fi
done

dir=$(mktemp -d)
pid=

clean_up() {
    status=$?
    trap - EXIT HUP INT TERM
    if [ -n "$pid" ]; then
        # The first ends the workload as Ctrl-C does; learn itself ends it after a while if that does not help.
        kill -TERM "$pid" 2>/dev/null || :
        wait "$pid" 2>/dev/null || :
    fi
    cd /
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "$0: $1" >&2
    cat "$dir/summary" "$dir/error.log" >&2 2>/dev/null || :
    exit 1
}

# Tries a command ten times a second for half a minute.
within_bounds() {
    tries=300
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.1
    done
}

fetch() {
    curl --silent --fail --max-time 5 --noproxy '*' "http://127.0.0.1:$port$1"
}

serves() {
    [ "$(fetch /hello)" = "hello" ]
}

# The first worker, and the one that replaces it.
has_reloaded() {
    [ "$(grep -c 'start worker process ' "$dir/error.log")" -ge 2 ]
}

old_worker_is_gone() {
    grep -q 'worker process .* exited with code 0' "$dir/error.log"
}

# A port of the loopback that refuses connections (curl: 7) has no server.
port=18080
while
    code=0
    curl --silent --output "$dir/probe" --max-time 2 --noproxy '*' "http://127.0.0.1:$port/" || code=$?
    [ "$code" -ne 7 ]
do
    port=$((port + 1))
    [ "$port" -lt 18180 ] || fail "no free port from 18080 to 18179"
done

# Started by root, the worker becomes www-data and has to get at the files; by others, there is no one to become.
user=
if [ "$(id -u)" -eq 0 ]; then
    user="user www-data;"
    chmod 755 "$dir"
fi
mkdir "$dir/html"
echo "a file" >"$dir/html/index.html"
cat >"$dir/nginx.conf" <<END
daemon off;
$user
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log notice;
events { worker_connections 64; }
http {
    access_log $dir/access.log;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    server {
        listen 127.0.0.1:$port;
        root $dir/html;
        location = /hello { return 200 hello; }
    }
}
END

cd "$dir"
echo "\$ learn -- nginx -c nginx.conf"
"$learn" -- nginx -e "$dir/error.log" -c "$dir/nginx.conf" -p "$dir" </dev/null >"$dir/output" 2>"$dir/summary" &
pid=$!
within_bounds serves || fail "nginx does not serve"
for path in /hello /index.html /hello /index.html; do
    echo "\$ curl http://127.0.0.1:$port$path"
    body=$(fetch "$path") || fail "$path cannot be fetched"
    echo "$body"
done

echo "\$ kill -HUP LEARN    # passed on to nginx, which reloads"
kill -HUP "$pid"
within_bounds has_reloaded || fail "nginx did not reload"
within_bounds old_worker_is_gone || fail "the old worker did not end"
within_bounds serves || fail "nginx does not serve after its reload"

echo "\$ kill -TERM LEARN   # passed on as well; learn writes the profiles"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
pid=
[ "$status" -eq 0 ] || fail "learn ended with status $status"

cat "$dir/summary"
for file in seccomp.json nginx.apparmor capabilities.txt; do
    printf '\n=== %s ===\n\n' "$file"
    cat "$dir/nginx.learned/$file"
done

printf '\n%s is removed again. To keep what is learned: learn -- PROGRAM [ARGS]...\n' "$dir"
