# A web server in an interpreted language.
port=18433
command=(/usr/bin/python3 "$dir/server.py")
probe=(/usr/bin/python3 "$dir/untouched.py")

set_up() {
    mkdir site site/sub
    echo "a file" >site/index.html
    echo "another" >site/sub/page.txt
    echo "print(1)" >untouched.py
    cat >server.py <<END
import functools
import http.server


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


handler = functools.partial(Quiet, directory="$dir/site")
http.server.ThreadingHTTPServer(("127.0.0.1", $port), handler).serve_forever()
END
}

use() {
    until_true listens "$port"
    fetch "$port" index.html
    fetch "$port" sub/page.txt
    fetch "$port" sub/
    kill -TERM "$pid"
}
