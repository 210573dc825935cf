# A web server that becomes another user: started, fetched from, reloaded, its logs rotated, stopped.
port=18431
command=(/usr/sbin/nginx -e "$dir/error.log" -c "$dir/nginx.conf" -p "$dir")
probe=(/usr/sbin/nginx -t -e "$dir/error.log" -c "$dir/untouched.conf" -p "$dir")

set_up() {
    mkdir html
    echo "a file" >html/index.html
    cat >nginx.conf <<END
daemon off;
user www-data;
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
    server { listen 127.0.0.1:$port; root $dir/html; }
}
END
    cp nginx.conf untouched.conf
}

use() {
    until_true listens "$port"
    fetch "$port" index.html
    kill -HUP "$pid"
    until_true has_lines error.log 2 "start worker process "
    until_true has_lines error.log 1 "exited with code 0"
    fetch "$port" index.html
    "$busybox" mv access.log access.log.1
    kill -USR1 "$pid"
    until_true has_lines error.log 1 "reopening logs"
    until_true test -e access.log
    fetch "$port" missing.html
    read -r master <nginx.pid
    kill -QUIT "$master"
}
