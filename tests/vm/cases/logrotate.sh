# Logs rotated under names with the date, packed, and a program told of it.
command=(/usr/sbin/logrotate --force --state "$dir/state" "$dir/conf")
probe=(/usr/sbin/logrotate --state "$dir/state" "$dir/untouched")

set_up() {
    mkdir logs
    for name in access error; do
        echo "a line" >"logs/$name.log"
    done
    cat >conf <<END
$dir/logs/*.log {
    rotate 3
    dateext
    dateformat -%Y-%m-%d
    compress
    create 640 www-data adm
    sharedscripts
    postrotate
        echo rotated >>$dir/told
    endscript
}
END
    cp conf untouched
    chown root: conf untouched
    chmod 644 conf untouched
}
