#!/bin/sh
# Learns what nginx needs before and after a release that adds TLS and a proxy: DIR/old.json and DIR/new.json.
# Usage: learn.sh LEARN DIR. Needs nginx, curl, openssl and python3; the site is made in DIR/site.
set -eu

learn=$1
dir=$2
site=$dir/site
PATH=$PATH:/usr/sbin
mkdir -p "$site/html"
chmod 755 "$dir" "$site"
echo "a file" >"$site/html/index.html"

wait_for() {
    tries=300
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "$0: no answer: $*" >&2; cat "$site/error.log" >&2; exit 1; }
        sleep 0.1
    done
}

fetch() {
    curl --silent --show-error --fail --insecure --max-time 5 --noproxy '*' "$1"
}

# nginx with what is given of the configuration of its server; then the addresses to fetch from.
release() {
    record=$1 server=$2
    shift 2
    for made in learned error.log access.log body proxy fastcgi uwsgi scgi; do
        rm -rf "${site:?}/$made"
    done
    user=
    [ "$(id -u)" -ne 0 ] || user="user www-data;"
    cat >"$site/nginx.conf" <<END
daemon off;
$user
worker_processes 1;
pid $site/nginx.pid;
error_log $site/error.log notice;
events { worker_connections 64; }
http {
    access_log $site/access.log;
    client_body_temp_path $site/body;
    proxy_temp_path $site/proxy;
    fastcgi_temp_path $site/fastcgi;
    uwsgi_temp_path $site/uwsgi;
    scgi_temp_path $site/scgi;
    server {
        root $site/html;
        $server
    }
}
END
    "$learn" --quiet -o "$site/learned" -- nginx -e "$site/error.log" -c "$site/nginx.conf" -p "$site" </dev/null &
    learner=$!
    for address; do
        wait_for fetch "$address"
    done
    kill -TERM "$learner"
    wait "$learner"
    mv "$site/learned/learned.json" "$dir/$record"
}

release old.json "listen 127.0.0.1:18180;" http://127.0.0.1:18180/index.html

mkdir -p "$site/tls"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
    -keyout "$site/tls/site.key" -out "$site/tls/site.pem" 2>/dev/null
chmod 600 "$site/tls/site.key"
python3 -m http.server --bind 127.0.0.1 --directory "$site/html" 18182 >/dev/null 2>&1 &
behind=$!
trap 'kill "$behind"' EXIT
wait_for fetch http://127.0.0.1:18182/index.html
release new.json "listen 127.0.0.1:18180;
        listen 127.0.0.1:18181 ssl;
        ssl_certificate $site/tls/site.pem;
        ssl_certificate_key $site/tls/site.key;
        location /app/ { proxy_pass http://127.0.0.1:18182/; }" \
    http://127.0.0.1:18180/index.html https://127.0.0.1:18181/index.html https://127.0.0.1:18181/app/index.html
