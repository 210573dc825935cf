# A daemon that separates its privileges, starting.
port=18434
command=(/usr/sbin/sshd -D -e -f "$dir/sshd_config")
probe=(/usr/sbin/sshd -t -f "$dir/untouched_config")

set_up() {
    ssh-keygen -q -t ed25519 -N '' -f host_key
    "$busybox" mkdir -p /run/sshd
    cat >sshd_config <<END
ListenAddress 127.0.0.1:$port
HostKey $dir/host_key
PidFile $dir/sshd.pid
UsePAM no
LogLevel ERROR
END
    cp sshd_config untouched_config
}

use() {
    local connection banner
    until_true listens "$port"
    exec {connection}<>"/dev/tcp/127.0.0.1/$port"
    read -r banner <&"$connection"
    exec {connection}>&-
    echo "${banner%%_*}"
    until_true test -s sshd.pid
    kill -TERM "$pid"
}
