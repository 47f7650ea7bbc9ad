//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// testSince kills the program, the databases and the wires to them while runs read what is new in tables that grow, for
// so long. Each row of such a table arrives exactly once in another one, which has no key.
func testSince(t *testing.T, length time.Duration, seed uint64) {
	dir, err := os.MkdirTemp("", "runhook-chaos-*")
	check(t, err)
	h := &house{t: t, dir: dir, program: proctest.Program(t)}
	defer time.AfterFunc(length+hungLimit, h.hung).Stop()
	t.Cleanup(func() {
		for _, p := range h.services {
			p.kill()
		}
		if t.Failed() {
			fmt.Printf("The seed was %d; logs and data are in %s\n", seed, dir)
		} else {
			_ = os.RemoveAll(dir)
		}
	})
	h.databases = databases(t)
	g := &growth{house: h, rand: rand.New(rand.NewPCG(seed, 3)), done: map[string]int{}}
	g.start()
	g.run(length)
	g.account()
}

// growth is a house whose tasks read what is new.
type growth struct {
	*house
	rand *rand.Rand
	grow []*growing
	done map[string]int
}

// growing is a table news of a database, whose rows a task inserts into the table seen of the same one.
type growing struct {
	*database
	task task.ID
	// runs are those that have ended, of which empty had no row.
	runs, empty int
}

const growingTask = `id: %[1]s
name: New in %[2]s
retry: {attempts: 100, backoff: 1s}
source:
  sql:
    connection: %[2]s
    query: select id, amount from news where :since is null or id > :since
    order_by: [id]
    since: {column: id}
  rate: 400/s
mapping: {id: id, amount: amount}
destination: {sql: {connection: %[2]s, table: seen, action: insert}}
`

func (g *growth) start() {
	connections := ""
	for _, d := range g.databases {
		id := "serial PRIMARY KEY"
		if d.name == "mariadb" {
			id = "int AUTO_INCREMENT PRIMARY KEY"
		}
		for _, statement := range []string{"CREATE TABLE news (id " + id + ", amount int)", "CREATE TABLE seen (id int, amount int)"} {
			_, err := d.db.Exec(statement)
			check(g.t, err)
		}
		grow := &growing{database: d, task: task.NewID()}
		g.grow = append(g.grow, grow)
		connections += d.line
		check(g.t, os.MkdirAll(filepath.Join(g.dir, "tasks"), 0o755))
		check(g.t, os.WriteFile(filepath.Join(g.dir, "tasks", d.name+".yaml"), fmt.Appendf(nil, growingTask, grow.task, d.name), 0o600))
	}
	check(g.t, os.WriteFile(filepath.Join(g.dir, "connections.yaml"), []byte(connections), 0o600))
	g.data = filepath.Join(g.dir, "data")
	g.makeStore()
	_, url := g.service("serve", "serve", "--data", g.data, "--tasks", filepath.Join(g.dir, "tasks"), "--connections", filepath.Join(g.dir, "connections.yaml"),
		"--nats-listen", proctest.FreeAddress(g.t), "--lease", lease.String(), "--grace", "1s")
	g.posts = []string{url}
	g.startAll()
	for _, d := range g.grow {
		check(g.t, g.enabled(&work{id: d.task, name: d.name}))
	}
}

// run has the tables grow and the tasks run, and breaks something every few seconds, until the time is over.
func (g *growth) run(length time.Duration) {
	ctx, cancel := context.WithTimeout(g.t.Context(), length)
	defer cancel()
	var all sync.WaitGroup
	for _, d := range g.grow {
		all.Go(func() { d.feed(ctx) })
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				g.copy(d, fmt.Sprint(d.name, "-", i))
			}
		})
	}
	for ctx.Err() == nil {
		time.Sleep(500*time.Millisecond + time.Duration(g.rand.Int64N(int64(4*time.Second))))
		d := g.grow[g.rand.IntN(len(g.grow))]
		switch n := g.rand.IntN(100); {
		case n < 45:
			g.done["kill -9 of the program"]++
			_, _, _ = g.services[0].end(syscall.SIGKILL, 0)
			check(g.t, g.services[0].start())
			check(g.t, g.awaitReady())
		case n < 65:
			g.done["kill -9 of a database"]++
			_ = d.crash() // one that is not there again yet is dead already
		case n < 75:
			g.done["kill -9 of both"]++
			_ = d.crash()
			_, _, _ = g.services[0].end(syscall.SIGKILL, 0)
			check(g.t, g.services[0].start())
			check(g.t, g.awaitReady())
		case n < 85:
			g.done["cut connections"]++
			d.wire.Drop()
		case n < 93:
			g.done["silent wire"]++
			directions := [][]bustest.Direction{nil, {bustest.There}, {bustest.Back}}[g.rand.IntN(3)]
			d.wire.Silence(true, directions...)
			time.Sleep(time.Duration(g.rand.Int64N(int64(2 * lease))))
			d.wire.Silence(false, directions...)
		default:
			g.done["clients ended by the server"]++
			d.endClients()
		}
	}
	check(g.t, g.awaitReady())
	all.Wait()
}

// feed adds rows, one after the other, as far as the server takes them.
func (d *growing) feed(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		pause := 5 * time.Millisecond
		if _, err := d.db.ExecContext(ctx, fmt.Sprintf("INSERT INTO news (amount) VALUES (%d)", i)); err != nil {
			pause = 100 * time.Millisecond
		}
		time.Sleep(pause)
	}
}

// copy starts a run, waits until it has succeeded, and returns how many rows it has inserted.
func (g *growth) copy(d *growing, key string) (rows int64) {
	limit := time.Now().Add(drainLimit)
	var doc run.Document
	ask := func(method, url string) (status int, location string) {
		request, err := http.NewRequest(method, url, strings.NewReader("{}"))
		check(g.t, err)
		request.Header.Set("Idempotency-Key", key)
		answer, err := shortly.Do(request)
		if err != nil {
			return 0, ""
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if doc = (run.Document{}); err != nil || json.Unmarshal(text, &doc) != nil {
			return 0, ""
		}
		return answer.StatusCode, answer.Header.Get("Location")
	}
	location := ""
	for location == "" {
		status, at := ask(http.MethodPost, g.posts[0]+"/task/executepolling/"+string(d.task))
		switch {
		case status == http.StatusAccepted || status == http.StatusOK:
			location = at
		case time.Now().After(limit):
			g.t.Errorf("%s: no run was accepted in %s", d.name, drainLimit)
			return 0
		default:
			time.Sleep(100 * time.Millisecond)
		}
	}
	for {
		status, _ := ask(http.MethodGet, location)
		if status == http.StatusOK && doc.Outcome() != "" {
			break
		}
		if time.Now().After(limit) {
			g.t.Errorf("%s: a run has not ended in %s", d.name, drainLimit)
			return 0
		}
		time.Sleep(50 * time.Millisecond)
	}
	if doc.Outcome() != run.Success {
		g.t.Errorf("%s: run %d: %+v", d.name, doc.ImportID, doc)
	}
	d.runs++
	if doc.RowsInserted == 0 {
		d.empty++
	}
	return doc.RowsInserted
}

// account has each task read what is left, and wants each row to have arrived once.
func (g *growth) account() {
	fmt.Printf("faults: %v\n", g.done)
	for _, d := range g.grow {
		count := func(query string) (n int64) {
			var err error
			for limit := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
				if err = d.db.QueryRow(query).Scan(&n); err == nil || time.Now().After(limit) {
					break
				}
			}
			check(g.t, err)
			return n
		}
		count("SELECT 1") // it is there again
		g.copy(d, d.name+"-last")
		if rows := g.copy(d, d.name+"-none"); rows != 0 {
			g.t.Errorf("%s: a run after the last one has %d rows", d.name, rows)
		}
		rows := count("SELECT count(*) FROM news")
		missing := count("SELECT count(*) FROM news WHERE NOT EXISTS (SELECT 1 FROM seen WHERE seen.id = news.id AND seen.amount = news.amount)")
		doubled := count("SELECT count(*) - count(DISTINCT id) FROM seen")
		foreign := count("SELECT count(*) FROM seen WHERE id NOT IN (SELECT id FROM news)")
		if missing != 0 || doubled != 0 || foreign != 0 || rows == 0 {
			g.t.Errorf("%s: of %d rows %d are missing and %d are there again; %d are of nothing", d.name, rows, missing, doubled, foreign)
		}
		fmt.Printf("%s: %d rows, %d missing, %d doubled; %d runs, %d of them without a row\n",
			d.name, rows, missing, doubled, d.runs, d.empty)
	}
}
