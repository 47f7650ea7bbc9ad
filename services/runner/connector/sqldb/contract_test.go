package sqldb_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/connectortest"
	"runhook/services/runner/connector/sqldb"
	"runhook/shared/mariatest"
	"runhook/shared/pgtest"
	"runhook/shared/proctest"
	"runhook/shared/task"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// place is a database of a test, of one make.
type place struct {
	// connections have it as warehouse.
	connections *connection.Set
	// open is called for each use, and what it has opened is closed behind that; pool is open as long as the test, nil
	// for a database that has to be closed.
	open func() (*sql.DB, error)
	pool *sql.DB
}

// makes are the makes of database that there are: how a test gets one, and what is said in another way there.
var makes = map[string]struct {
	new func(t *testing.T) place
	// parameters are the two of an insert, and query is one whose rows can be refused by themselves, and broken.
	parameters, query string
	faultless         bool
	tables            string
	// runs are how many must leave what ten leave: fewer where each begins a process at the server.
	runs int
}{
	"SQLite": {
		new: func(t *testing.T) place {
			t.Helper()
			folder := t.TempDir()
			return place{connections: parsed(t, "warehouse: {sqlite: ./warehouse.db}\n", folder), open: func() (*sql.DB, error) {
				return sql.Open("sqlite", filepath.Join(folder, "warehouse.db"))
			}}
		},
		parameters: "?, ?, ?, ?",
		// A number that has no absolute value ends the query.
		query:  `select id, iif(broken, abs(-9223372036854775807 - 1), iif(faulty, cast(x'ff' as text), name)) as name from members`,
		tables: "select count(*) from sqlite_schema where name = 'members'",
	},
	"PostgreSQL": {
		new: func(t *testing.T) place {
			t.Helper()
			schema := pgtest.New(t).Schema(t)
			return place{connections: parsed(t, "warehouse: {postgres: '"+schema.URL+"'}\n", t.TempDir()), pool: schema.DB()}
		},
		parameters: "$1, $2, $3, $4",
		query:      `select id, case when broken then (1 / (length(name) - length(name)))::text else name end as name from members`,
		runs:       20,
		faultless:  true, // the database keeps no text that is none
		tables:     "select count(*) from pg_class where relname = 'members' and pg_table_is_visible(oid)",
	},
	"MariaDB": {
		new: func(t *testing.T) place {
			t.Helper()
			database := mariatest.New(t).Database(t)
			return place{connections: parsed(t, "warehouse: {mysql: '"+database.URL+"'}\n", t.TempDir()), pool: database.DB()}
		},
		parameters: "?, ?, ?, ?",
		// A subquery of two rows ends the query.
		query:     `select id, case when broken then (select 'x' union all select name) else name end as name from members`,
		runs:      20,
		faultless: true, // the database keeps no text that is none
		tables:    "select count(*) from information_schema.tables where table_schema = database() and table_name = 'members'",
	},
}

func parsed(t *testing.T, text, folder string) *connection.Set {
	t.Helper()
	set, err := connection.Parse([]byte(text), filepath.Join(folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// use gives the database to f.
func (p place) use(t *testing.T, f func(db *sql.DB) error) {
	t.Helper()
	db := p.pool
	if db == nil {
		var err error
		if db, err = p.open(); err != nil {
			t.Fatal(err)
		}
		defer db.Close()
	}
	if err := f(db); err != nil {
		t.Fatal(err)
	}
}

// exec executes statements.
func (p place) exec(t *testing.T, statements ...string) {
	t.Helper()
	p.use(t, func(db *sql.DB) error {
		for _, statement := range statements {
			if _, err := db.Exec(statement); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestSourceContract(t *testing.T) {
	for name, made := range makes {
		t.Run(name, func(t *testing.T) {
			job := func(p place) connector.Job {
				return connector.Job{Connections: p.connections, Task: &task.Definition{
					Source: &task.SQLSource{Connection: "warehouse", Query: made.query, OrderBy: []string{"id"}},
				}}
			}
			connectortest.Source(t, connectortest.SourceHarness{
				Kind: sqldb.SourceKind{}, Faultless: made.faultless, Runs: made.runs,
				New: func(t *testing.T) func(rows []connectortest.Row) connector.Job {
					p := made.new(t)
					return func(rows []connectortest.Row) connector.Job {
						p.use(t, func(db *sql.DB) error { return insert(db, rows, made.parameters) })
						return job(p)
					}
				},
				Missing: func(t *testing.T) connector.Job {
					p := made.new(t)
					p.exec(t, "create table other (id int)")
					return job(p)
				},
			})
		})
	}
}

// insert makes the table members of the rows, the last first.
func insert(db *sql.DB, rows []connectortest.Row, parameters string) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, statement := range []string{"drop table if exists members", "create table members (id varchar(50) unique, name text, faulty boolean, broken boolean)"} {
		if _, err := tx.Exec(statement); err != nil {
			return err
		}
	}
	for i := len(rows) - 1; i >= 0; i-- {
		if _, err := tx.Exec("insert into members (id, name, faulty, broken) values ("+parameters+")", rows[i].ID, rows[i].Name, rows[i].Faulty, rows[i].Broken); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Tables that are there and that are made, rows that the table refuses and that do not fit its columns.
func TestDestinationContract(t *testing.T) {
	const there = "create table members (n integer, id varchar(50) unique, name text check (name <> 'no'))"
	for name, c := range map[string]struct {
		to      task.SQLDestination
		make    string
		refused any
	}{
		"insert":             {task.SQLDestination{Action: task.Insert}, there, "no"},
		"insert, made":       {task.SQLDestination{Action: task.Insert, Create: true}, "", []any{"a list"}},
		"upsert":             {task.SQLDestination{Action: task.Upsert, Key: []string{"id"}}, there, "no"},
		"upsert, made":       {task.SQLDestination{Action: task.Upsert, Key: []string{"id"}, Create: true}, "", []any{"a list"}},
		"insert, of one key": {task.SQLDestination{Action: task.Insert}, "create table members (id varchar(50) primary key, name text not null)", nil},
	} {
		c.to.Connection, c.to.Table = "warehouse", "members"
		for makeName, made := range makes {
			runs := 50
			if name == "insert, made" {
				runs = 0
			}
			if made.runs > 0 {
				runs = made.runs
				if c.to.Action == task.Insert != c.to.Create { // what is made, and what is there, once each
					continue
				}
			}
			job := func(p place, to task.SQLDestination) connector.Job {
				return connector.Job{Connections: p.connections, Task: &task.Definition{Destination: &to}}
			}
			t.Run(makeName+", "+name, func(t *testing.T) {
				connectortest.Destination(t, connectortest.DestinationHarness{
					Kind: sqldb.DestinationKind{}, Refused: c.refused, Runs: runs,
					New: func(t *testing.T) *connectortest.Place {
						p := made.new(t)
						if c.make != "" {
							p.exec(t, c.make)
						}
						return &connectortest.Place{
							Job: job(p, c.to),
							Rows: func() (rows []string) {
								p.use(t, func(db *sql.DB) (err error) { rows, err = members(db, made.tables); return err })
								return rows
							},
							Break: func() { p.exec(t, "drop table members") },
						}
					},
					Missing: func(t *testing.T) connector.Job {
						to := c.to
						to.Create = false
						return job(made.new(t), to)
					},
				})
			})
		}
	}
}

// members are the rows of the table, none without it.
func members(db *sql.DB, count string) (lines []string, err error) {
	var tables int
	if err := db.QueryRow(count).Scan(&tables); err != nil || tables == 0 {
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
