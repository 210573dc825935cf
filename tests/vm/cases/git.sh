# A clone of a local repository, commits in it, and what git does with objects: temporary names and hashes.
command=(/bin/bash "$dir/work.sh")
probe=(/bin/bash -c "HOME=$dir /usr/bin/git -C $dir/untouched.git log")

set_up() {
    local file
    export HOME=$dir GIT_CONFIG_NOSYSTEM=1
    /usr/bin/git config --global user.name "A Name"
    /usr/bin/git config --global user.email name@example.org
    /usr/bin/git config --global init.defaultBranch main
    /usr/bin/git config --global gc.auto 0
    /usr/bin/git init -q origin
    for file in one two; do
        echo "$file" >"origin/$file"
        /usr/bin/git -C origin add "$file"
        GIT_COMMITTER_DATE=@1700000000 /usr/bin/git -C origin commit -q -m "$file" --date=@1700000000
    done
    /usr/bin/git clone -q --bare origin untouched.git
    cat >work.sh <<END
set -e
PATH=/usr/bin:/bin
cd $dir
git clone -q --no-local origin clone
git clone -q origin linked
cd clone
for file in three four; do
    echo \$file >\$file
    git add \$file
    git commit -q -m \$file
done
# Whether git looks at the contents otherwise depends on the clock.
touch -d 2020-01-01 one two three four
git status --short
git log --format=%s
git gc -q
END
}
