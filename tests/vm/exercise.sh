# Sourced by `guest`: how a case is exercised, the very same while it is learned and while it is confined.
#
# A case is a file in cases/ that sets and defines:
#   command     array: the program to learn and its arguments, run in $dir
#   set_up      fills $dir, a fresh directory that is the current one; not confined
#   use         drives the running command (process $pid) and makes it end; prints what a user would see. Optional
#   probe       array: a use of the same program that must be refused, since it touches a file named *untouched*
# Output must not change from run to run. Wait with `until_true` and never with a sleep alone.

# Tries a command until it succeeds, for half a minute and while the program runs.
until_true() {
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        "$@" && return
        kill -0 "$pid" || break
        "$busybox" sleep 0.1
    done
    echo "in vain: $*"
    return 1
} 2>/dev/null

# The body of http://127.0.0.1:PORT/PATH.
fetch() {
    local line
    exec {connection}<>"/dev/tcp/127.0.0.1/$1" || return
    printf 'GET /%s HTTP/1.0\r\n\r\n' "$2" >&"$connection"
    while read -r line <&"$connection" && [ "$line" != $'\r' ]; do :; done
    while read -r line <&"$connection" || [ -n "$line" ]; do echo "$line"; done
    exec {connection}>&-
} 2>/dev/null

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Whether FILE has at least COUNT lines with TEXT.
has_lines() {
    local line found=0
    while read -r line; do
        [[ $line != *"$3"* ]] || found=$((found + 1))
    done <"$1"
    [ "$found" -ge "$2" ]
} 2>/dev/null

# Loads case $1 and makes its directory.
begin() {
    unset -f use
    unset -v command probe
    dir=$scratch/$1
    # shellcheck disable=SC1090 # a case
    . "$cases/$1.sh"
    "$busybox" rm -rf "$dir"
    "$busybox" mkdir -p "$dir"
    cd "$dir" || return
    set_up
}

# Runs the command behind the arguments and uses it; prints what `use` prints, the command's output and its status. Its
# standard streams are pipes: the kernel asks for leave to inherit a file or a device, and what a workload is started
# with is no need of its own.
exercise() {
    local status=0 sink sink_pid watchdog
    exec {sink}> >(exec "$busybox" cat >"$scratch/output")
    sink_pid=$!
    "$@" "${command[@]}" < <(:) >&"$sink" 2>&1 {sink}>&- &
    pid=$!
    exec {sink}>&-
    (
        for ((second = 0; second < 120; second++)); do "$busybox" sleep 1; done
        echo "killed after 120 s"
        kill -KILL "$pid"
    ) &
    watchdog=$!
    if declare -F use >/dev/null; then
        use
    fi
    wait "$pid" || status=$?
    kill "$watchdog"
    wait "$watchdog" "$sink_pid"
    "$busybox" cat "$scratch/output"
    echo "status $status"
} 2>/dev/null
