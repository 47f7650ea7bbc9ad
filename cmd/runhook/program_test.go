package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// limit bounds every wait of a test.
const limit = proctest.Limit

// instance is a running program, in this process or as one of its own.
type instance struct {
	t           testing.TB
	out, log    *proctest.Output
	ended       <-chan struct{}
	code        int
	process     *proctest.Process // of a spawned one
	stop, kill  func()
	url         string
	nats        string // with the operator's password
	client      *client.Client
	description string
	args        []string
	// hangups has one in this process read its files again.
	hangups chan os.Signal
}

// await waits for the program's end and returns its exit code.
func (i *instance) await() int {
	i.t.Helper()
	select {
	case <-i.ended:
	case <-time.After(limit):
		i.t.Fatalf("%s has not ended in %s\n%s", i.description, limit, i.log)
	}
	if i.process != nil {
		i.code = i.process.Wait()
	}
	return i.code
}

// end stops the program and wants a clean end.
func (i *instance) end() {
	i.t.Helper()
	i.stop()
	if code := i.await(); code != exitSuccess {
		i.t.Fatalf("%s: exit code %d\n%s", i.description, code, i.log)
	}
}

// listening waits until the program says where it listens.
func (i *instance) listening() *instance {
	i.t.Helper()
	found := i.out.Await(i.t, `on (https?://\S*:\d+)`, i.ended)
	if found == nil {
		i.t.Fatalf("%s ended with %d: %s%s", i.description, i.await(), i.out, i.log)
	}
	i.url = found[1]
	if found := regexp.MustCompile(`NATS on nats://(\S+), data in (\S+)\)`).FindStringSubmatch(i.out.String()); found != nil {
		i.nats = asOperator(i.t, found[2], found[1])
	}
	i.client = i.newClient()
	i.t.Cleanup(i.client.Close)
	return i
}

// authority is what opens the program's admin routes.
func (i *instance) authority() ServerFlags {
	return ServerFlags{Server: i.url, TokenFile: valueOf(i.args, "--admin-token-file"), Data: valueOf(i.args, "--data"), CAFile: valueOf(i.args, "--tls-cert")}
}

// token is the program's admin token.
func (i *instance) token() string {
	i.t.Helper()
	flags := i.authority()
	token, err := flags.token()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

// newClient makes a client that has the program's admin token, if it has one.
func (i *instance) newClient() *client.Client {
	i.t.Helper()
	authorities.Store(i.url, i.authority())
	made, err := client.New(i.url, i.token(), i.authority().CAFile)
	if err != nil {
		i.t.Fatal(err)
	}
	return made
}

// authorities has, by the URL of each server of the tests, the flags of who may change it.
var authorities sync.Map

// authorized adds to a command line what opens the server that it names, unless it has that already.
func authorized(args []string) []string {
	known, found := authorities.Load(valueOf(args, "--server"))
	if !found || slices.Contains(args, "--token-file") || slices.Contains(args, "--data") {
		return args
	}
	args, flags := slices.Clip(args), known.(ServerFlags)
	if flags.CAFile != "" {
		args = append(args, "--ca-file", flags.CAFile)
	}
	if flags.TokenFile != "" {
		return append(args, "--token-file", flags.TokenFile)
	} else if flags.Data != "" {
		return append(args, "--data", flags.Data)
	}
	return args
}

// stranger is a server that no command knows the token of, as an earlier server may have had its port.
func stranger(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	authorities.Delete(server.URL)
	t.Cleanup(server.Close)
	return server
}

// valueOf is the value that a flag has last, "" if it has none.
func valueOf(args []string, flag string) (value string) {
	for i, arg := range args[:max(0, len(args)-1)] {
		if arg == flag {
			value = args[i+1]
		}
	}
	return value
}

// asOperator is the URL of the NATS of a data directory, with the password that is there.
func asOperator(t testing.TB, data, address string) string {
	t.Helper()
	credentials, err := os.ReadFile(filepath.Join(data, "nats.operator"))
	if err != nil {
		t.Fatal(err)
	}
	return "nats://" + strings.TrimSpace(string(credentials)) + "@" + address
}

// natsAddress is where NATS listens.
func (i *instance) natsAddress() string { return i.nats[strings.LastIndex(i.nats, "@")+1:] }

// begin runs the program in this process, until the end of the test at the latest.
func begin(t testing.TB, args ...string) *instance {
	args = authorized(args)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	i := &instance{
		t: t, out: proctest.NewOutput(), log: proctest.NewOutput(), ended: ended, stop: cancel,
		description: "runhook " + strings.Join(args, " "), args: args, hangups: make(chan os.Signal, 1),
	}
	go func() {
		defer close(ended)
		i.code = runhook(ctx, args, i.out, i.log, func() <-chan os.Signal { return i.hangups })
	}()
	t.Cleanup(func() { cancel(); i.await() })
	return i
}

// spawn runs the real program as a process of its own, without the race detector.
func spawn(t testing.TB, args ...string) *instance {
	t.Helper()
	return child(t, exec.Command(proctest.Program(t), authorized(args)...))
}

// raced is spawn under the race detector, where the tests are.
func raced(t testing.TB, args ...string) *instance {
	t.Helper()
	command := proctest.Self(programRole)
	command.Args = append(command.Args, authorized(args)...)
	return child(t, command)
}

// spawnOf is raced for one of the durabilities, and spawn for the other.
func spawnOf(t testing.TB, durability string, args ...string) *instance {
	t.Helper()
	if durability == "interval" {
		return raced(t, args...)
	}
	return spawn(t, args...)
}

// programRole is this test binary as the program.
const programRole = "program"

func child(t testing.TB, command *exec.Cmd) *instance {
	t.Helper()
	p := proctest.Start(t, command)
	return &instance{
		t: t, out: p.Out, log: p.Log, ended: p.Ended(), process: p, description: p.String(), args: command.Args,
		stop: func() { p.Signal(syscall.SIGTERM) }, kill: func() { p.Signal(syscall.SIGKILL) },
	}
}

// call runs a command to its end, in this process, and returns its exit code, output and messages.
func call(t testing.TB, args ...string) (code int, out, messages string) {
	t.Helper()
	return begin(t, args...).said()
}

// ask is call by a process of its own: many commands that are only about what they say cost less so.
func ask(t testing.TB, args ...string) (code int, out, messages string) {
	t.Helper()
	return spawn(t, args...).said()
}

func (i *instance) said() (code int, out, messages string) {
	i.t.Helper()
	code = i.await()
	return code, i.out.String(), spoken(i.log.String())
}

// spoken is what a program tells people, without the log beside it: it is chance whether NATS has
// something to log.
func spoken(said string) string {
	var all strings.Builder
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, `{"level":`) {
			all.WriteString(line)
		}
	}
	return all.String()
}

// mustCall is call of a command that has to succeed.
func mustCall(t testing.TB, args ...string) string {
	t.Helper()
	code, out, messages := call(t, args...)
	if code != exitSuccess {
		t.Fatalf("runhook %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, messages)
	}
	return out
}

// site is a folder with everything that `runhook serve` is given in a test: the task "Copy people"
// from people.csv into the table people of site.db, which a test can lock to hold a run.
type site struct {
	t    testing.TB
	dir  string
	copy task.ID
}

const (
	siteConnections = "here: {files: .}\ndb: {sqlite: ./site.db}\n"
	sitePeople      = "id,name,city\n1,Ann,Oslo\n2,Ben,Rome\n3,Cy,Oslo\n"
	siteTask        = `id: %s
name: Copy people
parameters:
  - name: City
source: {csv: {connection: here, path: people.csv}}
where: params.City == "" || city == params.City
mapping: {id: id, name: name}
destination: {sql: {connection: db, table: people, key: [id], action: upsert, create: true}}
`
)

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), copy: task.NewID()}
	s.write("connections.yaml", siteConnections)
	s.write("people.csv", sitePeople)
	s.write("tasks/copy.yaml", fmt.Sprintf(siteTask, s.copy))
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

func (s *site) write(name, text string) { s.writeFor(0o644, name, text) }

// writeFor is write with the rights of the file.
func (s *site) writeFor(mode os.FileMode, name, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	// One that is there keeps its rights when it is written.
	if err := errors.Join(os.WriteFile(s.path(name), []byte(text), mode), os.Chmod(s.path(name), mode)); err != nil {
		s.t.Fatal(err)
	}
}

// token is the file of an admin token.
func (s *site) token() string {
	s.t.Helper()
	s.writeFor(0o600, "admin.token", "ann: 0123456789abcdef0123456789abcdef\n")
	return s.path("admin.token")
}

// args is the command line that serves the site on free ports; later flags win.
func (s *site) args(more ...string) []string {
	return append([]string{
		"serve", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data", s.path("data"),
		"--tasks", s.path("tasks"), "--connections", s.path("connections.yaml"), "--durability", "interval",
	}, more...)
}

func (s *site) open() *sql.DB { return s.openFile("site.db") }

// openFile opens a database, and waits for a run that has it: also one that has ended may still be
// taking its checkpoint away.
func (s *site) openFile(name string) *sql.DB {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.path(name)+"?_busy_timeout=30000")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

// people are the names in the table.
func (s *site) people() string {
	s.t.Helper()
	return names(s.t, s.open(), "select name from people order by id")
}

func (s *site) execute(statement string) {
	s.t.Helper()
	if _, err := s.open().ExecContext(s.t.Context(), statement); err != nil {
		s.t.Fatal(err)
	}
}

func names(t testing.TB, db *sql.DB, query string) string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, ",")
}

// hold locks the destination, so that a run stays under way until release.
func (s *site) hold() (release func()) {
	s.t.Helper()
	s.execute("pragma journal_mode = wal") // as the runner has it; to switch would not wait for a lock
	connection, err := s.open().Conn(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := connection.ExecContext(s.t.Context(), "begin immediate"); err != nil {
		s.t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		_, _ = connection.ExecContext(context.WithoutCancel(s.t.Context()), "rollback")
		_ = connection.Close()
	})
	s.t.Cleanup(release)
	return release
}

// start starts a run of the site's task.
func (i *instance) start(id task.ID, values map[string][]string) client.Started {
	i.t.Helper()
	started, err := i.client.Start(i.t.Context(), id, values)
	if err != nil {
		i.t.Fatal(err)
	}
	return started
}

// awaitRunning waits until a runner has taken the run.
func (i *instance) awaitRunning(started client.Started) {
	i.t.Helper()
	eventually(i.t, i, "the run was taken", func() bool {
		doc, _, err := i.client.Status(i.t.Context(), started, 0)
		if err != nil {
			i.t.Fatal(err)
		}
		return doc.Status == run.InProgress
	})
}

// awaitEnd waits for a run's end.
func (i *instance) awaitEnd(started client.Started) run.Document {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), 2*limit)
	defer cancel()
	doc, err := i.client.Wait(ctx, started, 10*time.Second, nil, nil)
	if err != nil {
		i.t.Fatalf("%v\n%s", err, i.log)
	}
	return doc
}

// noHangups is the argument of a program that nobody asks to read its files again.
func noHangups() <-chan os.Signal { return nil }
