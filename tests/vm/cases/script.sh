# A shell script that calls other programs.
command=("$dir/script")
probe=(/bin/bash "$dir/untouched")

set_up() {
    echo first >log
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
END
    chmod 755 script
    cp script untouched
}
