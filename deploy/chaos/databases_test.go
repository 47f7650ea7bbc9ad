//go:build chaos

package chaos

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"runhook/shared/bustest"
	"runhook/shared/mariatest"
	"runhook/shared/pgtest"
)

// database is a server that rows are written to, over a wire that can be cut.
type database struct {
	name string
	// line is its connection, as a file of connections has it.
	line string
	wire *bustest.Wire
	// db is a way to it beside the wire.
	db    *sql.DB
	crash func() error
	// clients asks for the program's connections at the server, and end begins the statement that ends one.
	clients, end string
	// lock keeps others from the table orders, within the transaction or until the connection ends.
	lock []string
}

// databases starts the servers, with the table that no key keeps from having a row twice.
func databases(t *testing.T) []*database {
	pg, maria := pgtest.New(t), mariatest.New(t)
	schema, shop := pg.Schema(t), maria.Database(t)
	all := []*database{
		{
			name: "postgres", db: schema.DB(), crash: pg.Crash, wire: bustest.NewWire(t, "127.0.0.1:0", pg.Address()),
			line:    "postgres: {postgres: '" + schema.URL + "'}\n",
			clients: "SELECT pid FROM pg_stat_activity WHERE application_name = 'runhook'", end: "SELECT pg_terminate_backend(",
			lock: []string{"BEGIN", "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE", "ROLLBACK"},
		},
		{
			name: "mariadb", db: shop.DB(), crash: maria.Crash, wire: bustest.NewWire(t, "127.0.0.1:0", maria.Address()),
			line:    "mariadb: {mysql: '" + shop.URL + "'}\n",
			clients: "SELECT id FROM information_schema.processlist WHERE user = 'app' AND id <> CONNECTION_ID()", end: "KILL (",
			lock: []string{"SET autocommit = 0", "LOCK TABLES orders WRITE", "UNLOCK TABLES"},
		},
	}
	for i, address := range []string{pg.Address(), maria.Address()} {
		all[i].line = strings.Replace(all[i].line, address, all[i].wire.Address(), 1)
		_, err := all[i].db.Exec("CREATE TABLE orders (batch varchar(60), id varchar(60), amount varchar(60))")
		check(t, err)
	}
	return all
}

// databaseWorks write to one of the servers: without a key, and by one.
func databaseWorks(name string) []*work {
	return []*work{
		{
			name: name + "-insert", every: 2 * time.Second, open: 6, rows: orderRows, table: name + ".orders",
			file: `concurrency: 2
retry: {attempts: 100, backoff: 1s}
source: {csv: {connection: here, path: orders.csv}, rate: ` + orderRate + `}
mapping: {batch: params.Batch, id: id, amount: amount}
destination: {sql: {connection: ` + name + `, table: orders, action: insert}}
`,
		},
		{
			name: name + "-upsert", every: 2 * time.Second, open: 6, rows: shortRows, table: name + ".people",
			file: `concurrency: 4
retry: {attempts: 100, backoff: 1s}
source: {csv: {connection: here, path: people.csv}}
mapping: {batch: params.Batch, id: id, name: name}
destination: {sql: {connection: ` + name + `, table: people, key: [batch, id], action: upsert, create: true}}
`,
		},
	}
}

// databaseFaults break the servers and the wires to them.
func databaseFaults() []fault {
	one := func(m *mischief) *database { return m.house.databases[m.rand.IntN(len(m.house.databases))] }
	return []fault{
		{"kill database", 3, func(m *mischief) error {
			_ = one(m).crash() // one that is not there again yet is dead already
			return nil
		}},
		{"drop database's connections", 3, func(m *mischief) error {
			one(m).wire.Drop()
			return nil
		}},
		{"silence database", 2, func(m *mischief) error {
			d := one(m)
			directions := [][]bustest.Direction{nil, {bustest.There}, {bustest.Back}}[m.rand.IntN(3)]
			d.wire.Silence(true, directions...)
			time.Sleep(m.between(time.Second, 2*lease))
			d.wire.Silence(false, directions...)
			return nil
		}},
		{"end database's clients", 2, func(m *mischief) error {
			one(m).endClients()
			return nil
		}},
		{"lock database's table", 2, func(m *mischief) error {
			one(m).lockFor(m.between(time.Second, 5*time.Second))
			return nil
		}},
	}
}

// endClients ends the program's connections at the server, as far as that answers.
func (d *database) endClients() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rows, err := d.db.QueryContext(ctx, d.clients)
	if err != nil {
		return
	}
	var ids []string
	for rows.Next() {
		var id string
		if rows.Scan(&id) == nil {
			ids = append(ids, id)
		}
	}
	rows.Close()
	for _, id := range ids {
		_, _ = d.db.ExecContext(ctx, d.end+id+")") // it may have gone
	}
}

// lockFor keeps others from the table orders for a while, as far as the server answers.
func (d *database) lockFor(wait time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), wait+10*time.Second)
	defer cancel()
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	for i, statement := range d.lock {
		if i == len(d.lock)-1 {
			time.Sleep(wait)
		}
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return
		}
	}
}

// counted is what a query gives by batch once the server is there again.
func (d *database) counted(t *testing.T, table string) (rows, doubled map[string]int64) {
	t.Helper()
	var err error
	for limit := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if rows, doubled, err = byBatch(d.db, table); err == nil {
			return rows, doubled
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
}
