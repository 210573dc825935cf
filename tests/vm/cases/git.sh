# A clone of a local repository, a commit in it, and what git does with objects: temporary names and hashes.
command=(/bin/bash "$dir/work.sh")
probe=(/bin/bash -c "git -C $dir/untouched.git log")

set_up() {
    export HOME=$dir GIT_CONFIG_NOSYSTEM=1
    git config --global user.name "A Name"
    git config --global user.email name@example.org
    git config --global init.defaultBranch main
    git config --global gc.auto 0
    git init -q origin
    for file in one two three; do
        echo "$file" >"origin/$file"
        git -C origin add "$file"
        GIT_COMMITTER_DATE=@1700000000 git -C origin commit -q -m "$file" --date=@1700000000
    done
    git clone -q --bare origin untouched.git
    cat >work.sh <<END
export HOME=$dir GIT_CONFIG_NOSYSTEM=1
cd $dir
git clone -q --no-local origin clone
git clone -q origin linked
cd clone
for file in four five six seven; do
    echo \$file >\$file
    git add \$file
    git commit -q -m \$file
done
git log --format=%s
git gc -q
git fsck
END
}
