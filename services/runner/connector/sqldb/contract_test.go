package sqldb_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/connectortest"
	"runhook/services/runner/connector/sqldb"
	"runhook/shared/proctest"
	"runhook/shared/task"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// warehouse has the connection warehouse on a database in the folder.
func warehouse(t *testing.T, folder string) *connection.Set {
	t.Helper()
	set, err := connection.Parse([]byte("warehouse: {sqlite: ./warehouse.db}\n"), filepath.Join(folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// exec executes statements in the folder's database, with the arguments for the last.
func exec(t *testing.T, folder string, f func(db *sql.DB) error) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(folder, "warehouse.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := f(db); err != nil {
		t.Fatal(err)
	}
}

func TestSourceContract(t *testing.T) {
	job := func(t *testing.T, folder string) connector.Job {
		// A number that has no absolute value ends the query.
		const query = `select id, iif(broken, abs(-9223372036854775807 - 1), iif(faulty, cast(x'ff' as text), name)) as name from members`
		return connector.Job{Connections: warehouse(t, folder), Task: &task.Definition{
			Source: &task.SQLSource{Connection: "warehouse", Query: query, OrderBy: []string{"id"}},
		}}
	}
	connectortest.Source(t, connectortest.SourceHarness{
		Kind: sqldb.SourceKind{},
		New: func(t *testing.T) func(rows []connectortest.Row) connector.Job {
			folder := t.TempDir()
			return func(rows []connectortest.Row) connector.Job {
				exec(t, folder, func(db *sql.DB) error { return insert(db, rows) })
				return job(t, folder)
			}
		},
		Missing: func(t *testing.T) connector.Job {
			folder := t.TempDir()
			exec(t, folder, func(db *sql.DB) error { _, err := db.Exec("create table other (id)"); return err })
			return job(t, folder)
		},
	})
}

// insert makes the table members of the rows, the last first.
func insert(db *sql.DB, rows []connectortest.Row) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec("drop table if exists members; create table members (n integer primary key, id text unique, name text, faulty, broken)"); err != nil {
		return err
	}
	for i := len(rows) - 1; i >= 0; i-- {
		if _, err := tx.Exec("insert into members (id, name, faulty, broken) values (?, ?, ?, ?)", rows[i].ID, rows[i].Name, rows[i].Faulty, rows[i].Broken); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Tables that are there and that are made, rows that the table refuses and that do not fit its columns.
func TestDestinationContract(t *testing.T) {
	const there = "create table members (n integer primary key, id text unique, name text check (name <> 'no'))"
	for name, c := range map[string]struct {
		to      task.SQLDestination
		make    string
		refused any
	}{
		"insert":             {task.SQLDestination{Action: task.Insert}, there, "no"},
		"insert, made":       {task.SQLDestination{Action: task.Insert, Create: true}, "", []any{"a list"}},
		"upsert":             {task.SQLDestination{Action: task.Upsert, Key: []string{"id"}}, there, "no"},
		"upsert, made":       {task.SQLDestination{Action: task.Upsert, Key: []string{"id"}, Create: true}, "", []any{"a list"}},
		"insert, of one key": {task.SQLDestination{Action: task.Insert}, "create table members (id text primary key, name text not null)", nil},
	} {
		c.to.Connection, c.to.Table = "warehouse", "members"
		runs := 50
		if name == "insert, made" {
			runs = 0
		}
		job := func(t *testing.T, folder string, to task.SQLDestination) connector.Job {
			return connector.Job{Connections: warehouse(t, folder), Task: &task.Definition{Destination: &to}}
		}
		t.Run(name, func(t *testing.T) {
			connectortest.Destination(t, connectortest.DestinationHarness{
				Kind: sqldb.DestinationKind{}, Refused: c.refused, Runs: runs,
				New: func(t *testing.T) *connectortest.Place {
					folder := t.TempDir()
					if c.make != "" {
						exec(t, folder, func(db *sql.DB) error { _, err := db.Exec(c.make); return err })
					}
					return &connectortest.Place{
						Job: job(t, folder, c.to),
						Rows: func() (rows []string) {
							exec(t, folder, func(db *sql.DB) (err error) { rows, err = members(db); return err })
							return rows
						},
						Break: func() {
							exec(t, folder, func(db *sql.DB) error { _, err := db.Exec("drop table members"); return err })
						},
					}
				},
				Missing: func(t *testing.T) connector.Job {
					to := c.to
					to.Create = false
					return job(t, t.TempDir(), to)
				},
			})
		})
	}
}

// members are the rows of the table, none without it.
func members(db *sql.DB) (lines []string, err error) {
	var tables int
	if err := db.QueryRow("select count(*) from sqlite_schema where name = 'members'").Scan(&tables); err != nil || tables == 0 {
		return nil, err
	}
	rows, err := db.Query("select id, name from members order by id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, name string
		if err := rows.Scan(&id, &name); err != nil {
			return nil, err
		}
		lines = append(lines, connectortest.Line(id, name))
	}
	return lines, rows.Err()
}
