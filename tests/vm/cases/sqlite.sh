# A database in files, with both kinds of journal.
command=(/usr/bin/sqlite3 "$dir/fruit.db" ".read $dir/commands")
probe=(/usr/bin/sqlite3 "$dir/untouched.db" .tables)

set_up() {
    sqlite3 untouched.db 'create table kept (name)'
    cat >commands <<END
create table fruit (name, number);
insert into fruit values ('pear', 3), ('apple', 5);
pragma journal_mode = wal;
update fruit set number = number + 1;
select * from fruit order by name;
vacuum;
END
}
