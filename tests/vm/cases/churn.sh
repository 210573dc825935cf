# What package managers do with files, as `apt-get --download-only` and editors: lists and archives fetched under partial
# names, many at a time, renamed, linked and locked; temporary names, dates, and folders that come and go.
command=(/usr/bin/python3 "$dir/churn.py")
probe=(/usr/bin/python3 -c "open('$dir/untouched')")

set_up() {
    echo 0 >untouched
    mkdir lists lists/partial archives archives/partial pool backup
    cat >churn.py <<END
import fcntl, hashlib, os, shutil, subprocess, tempfile, time, uuid
os.chdir("$dir")
with open("lock", "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    for name in ("main", "contrib"):
        with open(f"lists/partial/{name}", "w") as part:
            part.write(name)
        os.rename(f"lists/partial/{name}", f"lists/{name}")
    for count in range(60):
        part, whole = f"archives/partial/tool{count}_1.{count}_amd64.deb", f"archives/tool{count}_1.{count}_amd64.deb"
        with open(part, "wb") as package:
            fcntl.flock(package, fcntl.LOCK_EX)
            package.write(b"x" * 100)
        os.rename(part, whole)
        os.link(whole, f"pool/{count}.deb")
    for name in os.listdir("archives/partial") + os.listdir("pool"):
        os.unlink(f"pool/{name}")
    handle, temporary = tempfile.mkstemp(dir=".", prefix="pkgcache.bin.")
    os.write(handle, b"cache")
    os.close(handle)
    os.rename(temporary, "pkgcache.bin")
    folder = tempfile.mkdtemp()
    for name in ("control", "data"):
        open(os.path.join(folder, name), "w").close()
    shutil.rmtree(folder)
    for count in range(3):
        day = time.strftime("%Y-%m-%d", time.localtime(time.time() - 86400 * count))
        open(f"backup/backup-{day}.tar", "w").close()
    for count in range(3):
        open(f"backup/{uuid.uuid4()}", "w").close()
    session = f"session-{os.getpid()}"
    open(session, "w").close()
    os.unlink(session)
    for count in range(4):
        digest = hashlib.sha256(f"{time.time()}{count}".encode()).hexdigest()
        os.makedirs(f"store/{digest[:2]}", exist_ok=True)
        open(f"store/{digest[:2]}/{digest[2:]}", "w").close()
    print(subprocess.run(["/usr/bin/sed", "-i", "s/a/b/", "lists/main"]).returncode)
    print(sorted(os.listdir("lists")), len(os.listdir("archives")))
END
}
