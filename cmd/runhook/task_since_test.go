//go:build !bench

package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
)

// newSinceSite is a site with the task of the page about it, whose source has two rows.
func newSinceSite(t *testing.T) *site {
	s := newSite(t)
	page, err := os.ReadFile("../../deploy/docs/incremental.md")
	if err != nil {
		t.Fatal(err)
	}
	s.write("tasks/copy.yaml", tasks.FindStringSubmatch(string(page))[1])
	s.write("connections.yaml", "crm: {sqlite: ./crm.db}\nwarehouse: {sqlite: ./site.db}\n")
	s.crm("create table members (id integer primary key, name text, changed text)")
	s.crm("insert into members values (1, 'Ann', '2026-02-01 10:00:00.123456'), (2, 'Bob', '2026-01-01 10:00:00')")
	return s
}

// crm changes the source of the site.
func (s *site) crm(statement string) {
	s.t.Helper()
	db := s.openFile("crm.db")
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		s.t.Fatal(err)
	}
}

// What the page about it shows works as it says: each run reads what is new, and operators see and set from where.
func TestIncrementalTask(t *testing.T) {
	t.Parallel()
	s := newSinceSite(t)
	i := begin(t, s.args()...).listening()
	call := func(args ...string) string {
		t.Helper()
		return mustCall(t, append(args, "--server", i.url)...)
	}
	wants := func(said, want string) {
		t.Helper()
		if !strings.Contains(said, want) {
			t.Errorf("%q does not have %q", said, want)
		}
	}
	const name = "Changed members"
	wants(call("task", "since", name), "from the first changed on: there is no watermark\n")
	wants(call("run", name, "--wait"), ": 2 rows read, 2 inserted\n")
	wants(call("task", "since", name), "from changed 2026-02-01 10:00:00.123456 on, less 10m (run 1, ")
	wants(call("task", "show", name), "\nReads incrementally:    from changed 2026-02-01 10:00:00.123456 on, less 10m (run 1, ")
	s.crm("insert into members values (3, 'Cy', '2026-02-01 09:51:00'), (4, 'Di', '2026-02-01 09:49:00'), (5, 'Eve', '2026-02-02 00:00:00'), (6, 'Flo', null)")
	wants(call("run", name, "--dry-run", "--wait"), ": 3 rows read, 2 inserted, 1 unchanged\n")
	wants(call("run", name, "--wait"), ": 3 rows read, 2 inserted, 1 unchanged\n")
	wants(call("task", "since", name), "from changed 2026-02-02 00:00:00 on, less 10m (run 3, ")
	wants(call("run", name, "--wait"), ": 1 row read, 1 unchanged\n")
	wants(call("run", name, "--full", "--wait"), ": 6 rows read, 2 inserted, 4 unchanged\n")
	wants(call("task", "since", name), "from changed 2026-02-02 00:00:00 on, less 10m (run 3, ")

	wants(call("task", "since", name, "2026-02-01 09:55:00"), "from changed 2026-02-01 09:55:00 on, less 10m (set by admin, ")
	wants(call("run", name, "--wait"), ": 4 rows read, 4 unchanged\n")
	wants(call("task", "since", name, "--reset"), "from the first changed on: there is no watermark\n")
	wants(call("audit", "--what", "task-since"), "reset: the next run begins as the first")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"task", "since", name, "yesterday"}, `"value": is neither a number nor a date like 2026-01-31 or 2026-01-31T12:00:00Z`},
		{[]string{"task", "since", name, "4711"}, `"value": is a number, and overlap of the task is a time; give a date or a moment`},
		{[]string{"task", "since", name, "2026-01-31", "--reset"}, "a value and --reset exclude each other; pass one of them"},
		{[]string{"run", name, "-p", "since=2026-01-31"}, `"since" is not a parameter of this task, which has none`},
	} {
		if code, _, said := ask(t, append(c.args, "--server", i.url)...); code == exitSuccess || !strings.Contains(said, c.want) {
			t.Errorf("%v: %d, %s", c.args, code, said)
		}
	}
	// Whoever knows the webhook alone cannot have all rows read.
	post, err := http.NewRequest(http.MethodPost, i.url+"/task/execute/4f0a3c1d-6b27-4b7e-9d55-0d6f1f2b7a31", nil)
	if err != nil {
		t.Fatal(err)
	}
	post.Header.Set(run.FullHeader, "true")
	answer, err := http.DefaultClient.Do(post)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("%s has all rows read without a token: %d", run.FullHeader, answer.StatusCode)
	}
	// Nor is there anything like it of a task that reads all rows.
	s.write("tasks/all.yaml", fmt.Sprintf(siteTask, s.copy))
	eventually(t, i, "the other task is there", func() bool { return strings.Contains(call("task", "list"), "Copy people") })
	for _, args := range [][]string{{"task", "since", "Copy people"}, {"task", "since", "Copy people", "7"}} {
		if code, _, said := ask(t, append(args, "--server", i.url)...); code == exitSuccess || !strings.Contains(said, `the source of "Copy people" has no since`) {
			t.Errorf("%v: %d, %s", args, code, said)
		}
	}
	if code, _, said := ask(t, "run", "Copy people", "--full", "--server", i.url); code != exitNoStart || !strings.Contains(said, "The task does not read incrementally (since)") {
		t.Errorf("--full: %d, %s", code, said)
	}
}

// The rights of the configuration as shipped do for runs to move a watermark and for the status service to set it.
func TestSinceWithItsRights(t *testing.T) {
	t.Parallel()
	s := newSinceSite(t)
	denied, as, key := s.withRights()
	shared := []string{"--run-key-file", key, "--admin-token-file", s.token()}
	status := begin(t, append(append([]string{"status"}, shared...), as("status")...)...).listening()
	ingress := begin(t, append(append([]string{"ingress"}, shared...), as("ingress")...)...).listening()
	runner := begin(t, append([]string{"runner", "--connections", s.path("connections.yaml")}, as("runner")...)...).listening()
	mustCall(t, "task", "apply", s.path("tasks"), "--server", status.url)
	post := func() (status int) {
		answer, err := http.Post(ingress.url+"/task/execute/4f0a3c1d-6b27-4b7e-9d55-0d6f1f2b7a31", "application/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for n := run.Number(1); n <= 2; n++ {
		eventually(t, ingress, "the ingress knows the task, and takes a POST", func() bool { return post() == http.StatusOK })
		if doc := status.awaitEnd(client.Started{Task: "4f0a3c1d-6b27-4b7e-9d55-0d6f1f2b7a31", Number: n}); doc.Outcome() != run.Success || doc.RowsRetrieved != 3-int64(n) {
			t.Errorf("%+v", doc)
		}
		eventually(t, status, "the watermark has moved", func() bool {
			return strings.Contains(mustCall(t, "task", "since", "Changed members", "--server", status.url), "10:00:00.123456 on, less 10m (run 1, ")
		})
	}
	if said := mustCall(t, "task", "since", "Changed members", "--reset", "--server", status.url); !strings.Contains(said, "there is no watermark") {
		t.Error(said)
	}
	runner.end()
	ingress.end()
	status.end()
	if denied.String() != "" {
		t.Errorf("the server denies:\n%s", denied)
	}
}

// A server that is killed again and again while rows come loses none of them and has none twice: a run that succeeded has
// seen what the watermark says.
func TestKilledIncrementalServer(t *testing.T) {
	t.Parallel()
	s := newSinceSite(t)
	s.write("tasks/copy.yaml", `id: 4f0a3c1d-6b27-4b7e-9d55-0d6f1f2b7a31
name: Changed members
source:
  sql:
    connection: crm
    query: select id, name from members where :since is null or id > :since
    order_by: [id]
    since: {column: id}
mapping: {id: id, name: name}
destination: {sql: {connection: warehouse, table: members, action: insert, create: true}}
`)
	const kills, each = 8, 3000
	for k := range kills {
		i := spawn(t, s.args("--durability", "always")...).listening()
		s.crm(fmt.Sprintf("with recursive n(i) as (select %d union all select i + 1 from n where i < %d) insert into members select i, 'name ' || i, null from n", 10+k*each, 9+(k+1)*each))
		i.start("4f0a3c1d-6b27-4b7e-9d55-0d6f1f2b7a31", nil)
		time.Sleep(time.Duration(k) * 23 * time.Millisecond) // where it is killed decides nothing: any moment is right
		i.kill()
		i.await()
	}
	i := spawn(t, s.args("--durability", "always")...).listening()
	for n := run.Number(1); n <= kills; n++ {
		if doc := i.awaitEnd(client.Started{Task: "4f0a3c1d-6b27-4b7e-9d55-0d6f1f2b7a31", Number: n}); doc.Outcome() != run.Success {
			t.Errorf("run %s: %+v", n, doc)
		}
	}
	mustCall(t, "run", "Changed members", "--wait", "--server", i.url)
	db := s.open()
	defer db.Close()
	var count, distinct, highest int
	if err := db.QueryRow("select count(*), count(distinct id), max(id) from members").Scan(&count, &distinct, &highest); err != nil {
		t.Fatal(err)
	}
	if want := 2 + kills*each; count != want || distinct != want {
		t.Errorf("%d rows, %d of them others, want %d", count, distinct, want)
	}
	if said := mustCall(t, "task", "since", "Changed members", "--server", i.url); !strings.Contains(said, fmt.Sprintf("from id %d on (run ", highest)) {
		t.Error(said)
	}
	i.end()
}
