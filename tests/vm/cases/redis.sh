# A database in memory that keeps snapshots and a log: both are rewritten through temporary files named by process ids.
port=18435
command=(/usr/bin/redis-server "$dir/redis.conf")
probe=(/usr/bin/redis-server "$dir/untouched.conf")

set_up() {
    cat >redis.conf <<END
port $port
bind 127.0.0.1
dir $dir
logfile $dir/redis.log
save 3600 1
appendonly yes
END
    cp redis.conf untouched.conf
}

# Sends a command and prints the first line of the answer.
ask() {
    local connection line
    exec {connection}<>"/dev/tcp/127.0.0.1/$port" || return
    printf '%s\r\n' "$1" >&"$connection"
    read -r line <&"$connection"
    exec {connection}>&-
    echo "${line%$'\r'}"
} 2>/dev/null

use() {
    until_true listens "$port"
    ask 'SET fruit pear'
    ask 'BGSAVE'
    until_true has_lines redis.log 1 "DB saved on disk"
    ask 'BGREWRITEAOF'
    until_true has_lines redis.log 1 "Background AOF rewrite finished successfully"
    ask 'GET fruit' >/dev/null
    ask 'SHUTDOWN SAVE'
}
