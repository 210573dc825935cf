//! Servers that bind low ports and become other users.

use super::{PLAIN, Work, ready, require, workloads};

/// Waits for an nginx, fetches from it and stops it.
const NGINX: &str = r#"
/usr/sbin/nginx -c "$1/nginx.conf" -p "$1" & server=$!
for _ in $(seq 200); do
    curl --silent --fail --max-time 3 http://127.0.0.1:"$(cat "$1/port")"/ >"$1/fetched" && break
    [ $? = 7 ] || break
    kill -0 $server || break
    sleep 0.02
done
kill -TERM $server; wait $server
grep -q served "$1/fetched""#;

/// Makes what an nginx needs, afresh.
fn nginx_files(user: &str, port: u16) -> String {
    format!(
        r#"
cd "$1"; rm -rf fetched nginx.pid *.log temp-*
mkdir -p html; echo served >html/index.html; chmod 777 .; echo {port} >port
cat >nginx.conf <<END
{user}
daemon off; worker_processes 1; pid $1/nginx.pid; error_log $1/error.log;
events {{}}
http {{ access_log $1/access.log; client_body_temp_path $1/temp-1; proxy_temp_path $1/temp-2;
fastcgi_temp_path $1/temp-3; uwsgi_temp_path $1/temp-4; scgi_temp_path $1/temp-5;
server {{ listen {port}; root $1/html; }} }}
END"#
    )
}

const REDIS: &str = r#"
cd "$1"
find . ! -user redis -exec chown redis:redis {} +
/usr/bin/setpriv --reuid=redis --regid=redis --clear-groups \
    redis-server --port 0 --unixsocket "$1/socket" --unixsocketperm 777 --dir "$1" --daemonize no >/dev/null & server=$!
for _ in $(seq 100); do
    [ -S "$1/socket" ] && [ "$(redis-cli -s "$1/socket" set key value 2>&1)" = OK ] && break
    sleep 0.02
done
redis-cli -s "$1/socket" shutdown save
wait $server && [ -s dump.rdb ]"#;

const PYTHON: &str = r#"
/usr/bin/python3 -c '
import os, socket
server = socket.create_server(("127.0.0.1", 80))
os.setgroups([]); os.setgid(65534); os.setuid(65534)
client = socket.create_connection(("127.0.0.1", 80))
server.accept()[0].sendall(b"x")
assert client.recv(1) == b"x"'"#;

/// A login whose session is `nologin`, which says so.
const SSHD: &str = r#"
/usr/sbin/sshd -D -e -f "$1/config" 2>"$1/log" & server=$!
for _ in $(seq 200); do
    ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=10 -i "$1/user" \
        -p 2222 nobody@127.0.0.1 >"$1/said" 2>&1
    grep -q 'Connection refused' "$1/said" || break
    kill -0 $server || break
    sleep 0.02
done
kill $server; wait $server
grep -q 'not available' "$1/said""#;

const SSHD_FILES: &str = r#"
cd "$1"; mkdir -p /run/sshd
[ -f host ] || ssh-keygen -q -t ed25519 -N '' -f host
[ -f user ] || ssh-keygen -q -t ed25519 -N '' -f user
cat >config <<END
Port 2222
ListenAddress 127.0.0.1
HostKey $1/host
PidFile none
AuthorizedKeysFile $1/user.pub
StrictModes no
UsePAM no
END"#;

workloads! {
    a_python_server_that_becomes_nobody: Work { script: PYTHON, network: true, ..PLAIN },
        with ["python3"], needs ["CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"];
    nginx_on_port_80: Work {
        script: NGINX,
        before: nginx_files("user www-data;", 80),
        network: true,
        ..PLAIN
    }, with ["nginx", "curl"], needs ["CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"];
    nginx_on_port_8080_as_a_user: Work {
        script: NGINX,
        before: nginx_files("", 8080),
        user: Some("www-data"),
        network: true,
    }, with ["nginx", "curl"], needs [];
    redis_that_becomes_its_user: Work { script: REDIS, before: r#"cd "$1"; rm -rf *; chown 0:0 ."#.to_owned(), ..PLAIN },
        with ["redis-server", "redis-cli"], needs ["CAP_CHOWN", "CAP_SETGID", "CAP_SETUID"];
    a_login_by_ssh: Work { script: SSHD, before: SSHD_FILES.to_owned(), network: true, ..PLAIN },
        with ["sshd", "ssh"], needs ["CAP_SETGID", "CAP_SETUID", "CAP_SYS_CHROOT"];
}
