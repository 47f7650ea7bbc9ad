package sqldb

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	lib "modernc.org/sqlite/lib"

	"runhook/services/runner/connection"
	"runhook/shared/run"
)

// Over a connection that reads, nothing is done but that: no other file is reached, nothing is set and nothing written,
// also where a view of the database would.
func TestReadingConnection(t *testing.T) {
	folder := t.TempDir()
	d := sqliteDialect{connection.Database{Name: "db", SQLite: filepath.Join(folder, "a.db")}}
	writing, err := d.open(t.Context(), toCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer writing.Close()
	if _, err := writing.ExecContext(t.Context(), "create table a (id, name); insert into a values (1, 'x'); create view loads as select load_extension('./x') as x; create virtual table words using fts5(word); insert into words values ('ann')"); err != nil {
		t.Fatal(err)
	}
	db, err := d.open(t.Context(), toRead)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	outside := filepath.Join(folder, "b.db")
	for _, statement := range []string{
		"attach '" + outside + "' as b", "vacuum into '" + outside + "'", "vacuum", "detach main",
		"insert into a values (2, 'y')", "update a set id = 2", "delete from a", "drop table a", "create table b (id)", "create index i on a (id)", "create temp table t (id)",
		"alter table a add column b", "reindex", "analyze", "create trigger t after insert on a begin select 1; end", "create temp trigger t after insert on a begin select 1; end",
		"pragma journal_mode = delete", "pragma user_version = 5", "pragma schema_version = 5", "pragma writable_schema = 1", "pragma temp_store_directory = '.'", "pragma wal_checkpoint",
		"pragma foreign_keys = 0", "pragma trusted_schema = 1", "pragma mmap_size = 1", "begin immediate", "savepoint s", "create virtual table w using fts5(word)",
		"select load_extension('./x')", "select * from loads", "select * from pragma_wal_checkpoint", "insert into words(words) values ('optimize')",
		"pragma query_only = 0; insert into a values (3, 'z')",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		failure, _ := errors.AsType[*run.Failure](explain(t.Context(), d, err))
		if err == nil || primary(err) != lib.SQLITE_AUTH && primary(err) != lib.SQLITE_ERROR || primary(err) == lib.SQLITE_AUTH && !strings.Contains(failure.Message, "the query may only read the database of connection db") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if _, err := os.Stat(outside); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("another file was made: %v", err)
	}
	for query, want := range map[string]string{
		"select group_concat(id || name) from a":                                                       "1x",
		"select word from words where words match 'ann'":                                               "ann",
		"with recursive n(i) as (select 1 union select i + 1 from n where i < 9) select sum(i) from n": "45",
		"select name from pragma_table_info('a') limit 1":                                              "id",
		"select user_version from pragma_user_version":                                                 "0",
		"select value ->> '$.b' from json_each('[{\"b\":7}]')":                                         "7",
		"select count(*) from sqlite_schema where name = 'a'":                                          "1",
		"select date('2026-01-31', '+1 day')":                                                          "2026-02-01",
	} {
		var got string
		if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %q, %v", query, got, err)
		}
	}
}

// A database that is made is for its owner, as are the files beside it.
func TestModeOfADatabase(t *testing.T) {
	d := sqliteDialect{connection.Database{Name: "db", SQLite: filepath.Join(t.TempDir(), "a.db")}}
	db, err := d.open(t.Context(), toCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "create table a (id)"); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(d.at.SQLite + suffix); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%q: %v, %v", suffix, info, err)
		}
	}
}
