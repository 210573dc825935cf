# A program that serves, and runs others to fetch from it and to work on what they got.
port=18436
command=(/usr/bin/python3 "$dir/fetch.py")
probe=(/usr/bin/python3 -c "open('$dir/untouched')")

set_up() {
    mkdir -p site/sub got
    echo "one two" >site/page.txt
    echo "secret" >untouched
    cat >fetch.py <<END
import functools, http.server, os, subprocess, threading

os.chdir("$dir/got")
os.environ["PATH"] = "/usr/bin:/bin"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", $port), functools.partial(Quiet, directory="$dir/site"))
threading.Thread(target=server.serve_forever, daemon=True).start()
curl = ["curl", "-sS", "--fail", "-o", "page", "http://127.0.0.1:$port/page.txt"]
print(subprocess.run(curl).returncode)
print(subprocess.run(curl[:-1] + ["http://127.0.0.1:$port/missing"], stderr=subprocess.DEVNULL).returncode)
subprocess.run("sed -i s/one/1/ page && cp page copy && tar -cf all.tar page copy", shell=True, check=True)
found = subprocess.run(
    ["find", ".", "-name", "*p*", "-type", "f", "-exec", "cat", "{}", "+"], stdout=subprocess.PIPE, text=True
)
print(sorted(found.stdout.split()))
print(subprocess.check_output(["tar", "-xvf", "all.tar", "-C", "$dir/site/sub"], text=True))
server.shutdown()
END
}
