# What package managers and editors do with files: temporary names, dates, renames, locks, folders that come and go.
command=(/usr/bin/python3 "$dir/churn.py")
probe=(/usr/bin/python3 -c "open('$dir/untouched')")

set_up() {
    echo 0 >untouched
    mkdir lists lists/partial archive
    cat >churn.py <<END
import fcntl, hashlib, os, shutil, subprocess, tempfile, time, uuid
os.chdir("$dir")
with open("lock", "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    for name in ("main", "contrib"):
        with open(f"lists/partial/{name}", "w") as part:
            part.write(name)
        os.rename(f"lists/partial/{name}", f"lists/{name}")
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
        open(f"archive/backup-{day}.tar", "w").close()
    for count in range(3):
        open(f"archive/{uuid.uuid4()}", "w").close()
    session = f"session-{os.getpid()}"
    open(session, "w").close()
    os.unlink(session)
    for count in range(4):
        digest = hashlib.sha256(f"{time.time()}{count}".encode()).hexdigest()
        os.makedirs(f"store/{digest[:2]}", exist_ok=True)
        open(f"store/{digest[:2]}/{digest[2:]}", "w").close()
    print(subprocess.run(["/usr/bin/sed", "-i", "s/a/b/", "lists/main"]).returncode)
    print(sorted(os.listdir("lists")))
END
}
