# A shell script that calls other programs, one of them on a setting below /etc, where little is a pattern.
command=("$dir/script")
probe=(/bin/bash "$dir/untouched")

set_up() {
    echo first >log
    echo a=1 >/etc/learn.conf
    cat >script <<'END'
#!/bin/bash
set -e
mkdir work
printf 'pear\napple\n' | sort >work/sorted
sed s/a/A/ work/sorted >work/changed
ln work/changed work/linked
mv work/linked work/moved
tar -czf work/all.tar.gz -C work sorted changed
tar -tzf work/all.tar.gz
find work -type f -name '*ed' | sort
cat work/moved log
echo second >>log
touch -d 2020-01-01 work/old
chmod 600 work/old
rm -r work
sed -i s/1/2/ /etc/learn.conf
cat /etc/learn.conf
scratch=$(mktemp -d)
touch "$scratch/file"
rm -r "$scratch"
END
    chmod 755 script
    cp script untouched
}
