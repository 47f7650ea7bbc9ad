package deploy_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/proctest"
)

const failingTask = "555e1a89-5d7d-4daf-ae0e-7b9b2b793300"

// withFailingTask adds a task whose runs fail, because each row does.
func (s site) withFailingTask(t *testing.T) {
	t.Helper()
	err := os.WriteFile(filepath.Join(s.dir, "tasks", "failing.yaml"), []byte(`id: `+failingTask+`
name: Failing
source: {csv: {connection: drop, path: people.csv}}
mapping: {id: int(name)}
destination: {sql: {connection: warehouse, table: failing, key: [id], action: upsert, create: true}}
`), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	proctest.Eventually(t, "the task is applied", func() bool {
		answer, err := http.Post(s.url+"/task/dryrun/"+failingTask, "", nil)
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil && answer.StatusCode == 202
	})
}

// run runs a task and returns its final document.
func (s site) run(t *testing.T, kind, task string) []byte {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, s.url+"/task/"+kind+"/"+task, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Prefer", "wait=100")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil || answer.StatusCode != 200 {
		t.Fatal(answer.Status, err)
	}
	return text.Bytes()
}

// An event is as the page says, header by header, and its body what a poll gets.
func TestTheEventIsAsThePageSays(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/integrations.md")
	_, section, _ := strings.Cut(page, "\n## The event\n")
	section, _, _ = strings.Cut(section, "\n## ")
	s := start(t)
	nc, err := nats.Connect(s.nats)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	live, err := nc.SubscribeSync("run.status." + sampleTask + ".*")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := nc.SubscribeSync("run.completed.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	final := s.run(t, "dryrun", sampleTask)
	consumer := func(name, filter string) jetstream.Consumer {
		t.Helper()
		c, err := js.CreateOrUpdateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: name, FilterSubject: filter})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	wrong := consumer("wrong", "run.completed.*.failed")
	event, err := consumer("page", "run.completed."+sampleTask).Next(jetstream.FetchMaxWait(proctest.Limit))
	if err != nil {
		t.Fatal(err)
	}
	for name := range event.Headers() {
		if !strings.HasPrefix(name, "Nats-") && !strings.HasPrefix(name, "Runhook-") && !strings.Contains(section, "| `"+name+"` |") {
			t.Errorf("the page does not tell of the header %s", name)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(section, -1) {
		if len(event.Headers()[row[1]]) == 0 {
			t.Errorf("the event has no %s: %v", row[1], event.Headers())
		}
	}
	if event.Headers().Get("ce-id") != sampleTask+".1" || event.Headers().Get("ce-subject") != "1" || event.Headers().Get("ce-type") != "runhook.run.success" {
		t.Errorf("headers %v", event.Headers())
	}
	if !bytes.Equal(event.Data(), final) {
		t.Errorf("the event has %s, and a poll %s", event.Data(), final)
	}
	validate(t, event.Data(), fetch(t, s.url+"/status-document.schema.json"))
	for last := false; !last; {
		message, err := live.NextMsg(proctest.Limit)
		if err != nil {
			t.Fatal(err)
		}
		last = bytes.Equal(message.Data, final)
	}
	// What the table says gets nothing.
	if message, err := stored.NextMsg(100 * time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("a plain subscription gets %v (%v)", message, err)
	}
	if info, err := wrong.Info(t.Context()); err != nil || info.NumPending+info.Delivered.Consumer > 0 {
		t.Errorf("a filter by outcome gets %+v (%v)", info, err)
	}
}

// The options of the examples do what the page says of them.
func TestOptionsOfSubscribers(t *testing.T) {
	t.Parallel()
	node := need(t, "node")
	needPackages(t)
	page := read(t, "docs/integrations.md")
	s := start(t)
	s.withFailingTask(t)
	s.run(t, "executepolling", sampleTask)
	s.run(t, "executepolling", failingTask)
	s.run(t, "executepolling", sampleTask)
	example, err := proctest.Build(t.TempDir(), "runhook/deploy/examples/subscribe")
	if err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	refusals := map[string]string{"go": "deliver policy can not be updated", "node": "consumer already exists"}
	for language, command := range map[string][]string{"go": {example}, "node": {node, "examples/subscribe.mjs"}} {
		subscribe := func(options ...string) *proctest.Process {
			return launch(t, command[0], append(append(command[1:len(command):len(command)], options...), s.nats)...)
		}
		// of is how many events of each task a subscriber has printed once it has printed the last one.
		of := func(p *proctest.Process, last string) (succeeded, failed int) {
			p.Await(last)
			return strings.Count(p.Out.String(), sampleTask+"."), strings.Count(p.Out.String(), failingTask+".")
		}
		name := language + "-options"
		if a, b := of(subscribe("--name", name, "--task", sampleTask), sampleTask+`\.(?s:.*)`+sampleTask+`\.`); a != 2 || b != 0 {
			t.Errorf("%s, one task: %d and %d events", language, a, b)
		}
		if a, b := of(subscribe("--name", name+"-failed", "--failed"), failingTask+`\.(?s:.*)`); a != 0 || b == 0 {
			t.Errorf("%s, only failures: %d and %d events", language, a, b)
		}
		refused := subscribe("--name", name, "--since", soon)
		if refused.Log.Await(t, refusals[language], refused.Ended()) == nil || !strings.Contains(page, "`"+refusals[language]+"`") {
			t.Errorf("%s, another start: %s", language, refused.Log)
		}
		refused.Kill()
		if a, _ := of(subscribe("--name", name+"-again", "--anew", "--task", sampleTask), sampleTask+`\.(?s:.*)`+sampleTask+`\.`); a != 2 {
			t.Errorf("%s, a consumer that was not there, anew: %d events", language, a)
		}
		if a, _ := of(subscribe("--name", name, "--anew", "--task", sampleTask, "--since", "2026-01-31T06:00:00Z"), sampleTask+`\.(?s:.*)`+sampleTask+`\.`); a != 2 {
			t.Errorf("%s, anew: %d events", language, a)
		}
	}
	// Two programs with one name share the events.
	one, two := launch(t, example, "--name", "pair", s.nats), launch(t, node, "examples/subscribe.mjs", "--name", "pair", s.nats)
	both := func() string { return one.Out.String() + two.Out.String() }
	for range 4 {
		s.run(t, "executepolling", sampleTask)
	}
	proctest.Eventually(t, "all events are handled", func() bool { return strings.Count(both(), sampleTask+".") >= 6 })
	seen := make(map[string]bool)
	for _, id := range regexp.MustCompile(sampleTask+`\.\d+`).FindAllString(both(), -1) {
		if seen[id] {
			t.Errorf("%s was handled by both", id)
		}
		seen[id] = true
	}
}

// An event that takes longer than the server waits does not come to a second program meanwhile, because the first one
// says that it works on it.
func TestSlowWorkIsNotDoneTwice(t *testing.T) {
	t.Parallel()
	node := need(t, "node")
	needPackages(t)
	s := start(t)
	s.run(t, "executepolling", sampleTask)
	example, err := proctest.Build(t.TempDir(), "runhook/deploy/examples/subscribe")
	if err != nil {
		t.Fatal(err)
	}
	var programs [4]*proctest.Process
	for i := range 2 {
		programs[i] = launch(t, example, "--name", "go-slow", "--work", "25s", "--ack-wait", "9s", s.nats)
		programs[2+i] = launch(t, node, "examples/subscribe.mjs", "--name", "node-slow", "--work", "25", "--ack-wait", "9", s.nats)
	}
	nc, err := nats.Connect(s.nats)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go-slow", "node-slow"} {
		proctest.Until(t, func() error {
			consumer, err := js.Consumer(t.Context(), "EVENTS", name)
			if err != nil {
				return err
			}
			info, err := consumer.Info(t.Context())
			if err == nil && (info.AckFloor.Stream == 0 || info.NumAckPending > 0) {
				err = errors.New(name + " works on the event")
			}
			if err == nil && info.Delivered.Consumer != 1 {
				t.Errorf("%s got the event %d times", name, info.Delivered.Consumer)
			}
			return err
		})
	}
	for i, handled := 0, 0; i < len(programs); i++ {
		if handled += strings.Count(programs[i].Out.String(), sampleTask+".1"); i%2 == 1 && handled != i/2+1 {
			t.Errorf("the event was handled %d times", handled)
		}
	}
}

// The commands of the page, as they stand there, with the nats command that it names.
func TestNatsCommandsOfThePage(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/integrations.md")
	wanted := regexp.MustCompile(`natscli/nats@(v[0-9.]+)`).FindStringSubmatch(page)
	if wanted == nil || !strings.Contains(read(t, "../.ci/nats.mod"), "github.com/nats-io/natscli "+wanted[1]+" ") {
		t.Errorf("the page names another version than .ci/nats.mod: %v", wanted)
	}
	tool := filepath.Join(t.TempDir(), "nats")
	build := exec.Command("go", "build", "-modfile=.ci/nats.mod", "-o", tool, "github.com/nats-io/natscli/nats")
	build.Dir, build.Env = "..", append(os.Environ(), "GOFLAGS=")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	s := start(t)
	commands := regexp.MustCompile(`(?m)^nats (.*?)(?: +#.*)?$`).FindAllStringSubmatch(page, -1)
	if len(commands) != 4 {
		t.Fatalf("%d commands", len(commands))
	}
	nats := func(command string) *proctest.Process {
		args := strings.Fields(strings.ReplaceAll(command, "'", ""))
		process := exec.Command(tool, args...)
		process.Env = append(os.Environ(), "NATS_URL="+s.nats, "HOME="+s.dir)
		return proctest.Start(t, process)
	}
	for _, command := range commands {
		switch p := nats(command[1]); {
		case strings.HasPrefix(command[1], "sub "):
			heard := func() bool { return strings.Contains(p.Out.String()+p.Log.String(), `"Status":"D"`) }
			proctest.Eventually(t, "the command hears of a run", func() bool { // one that ended before it listened is gone
				s.run(t, "executepolling", sampleTask)
				return heard()
			})
			p.Kill()
		case strings.Contains(command[1], " next "):
			p.Await(`ce-type: runhook\.run\.success(?s:.*)"ExecuteId":"` + sampleTask)
			p.Kill()
		default:
			if code := p.Wait(); code != 0 {
				t.Errorf("nats %s: exit code %d\n%s%s", command[1], code, p.Out, p.Log)
			}
		}
	}
}

// With a login, the examples follow events as a consumer of its name, and of no other.
func TestLoginOfSubscribers(t *testing.T) {
	t.Parallel()
	node := need(t, "node")
	needPackages(t)
	page, dir := read(t, "docs/integrations.md"), taskFiles(t)
	users := filepath.Join(dir, "nats.users")
	if err := os.WriteFile(users, []byte("crm: 8d1f0c5e7b8d1f0c5e7b8d1f0c5e7b8d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	served := launch(t, proctest.Program(t), "serve", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--nats-auth-file", users,
		"--data", filepath.Join(dir, "data"), "--tasks", filepath.Join(dir, "tasks"), "--connections", filepath.Join(dir, "connections.yaml"))
	found := served.Await(`listens on (http://[^ ]+) \(NATS on (nats://[^,]+),`)
	s := site{url: found[1], nats: found[2], dir: dir}
	s.run(t, "executepolling", sampleTask)
	example, err := proctest.Build(t.TempDir(), "runhook/deploy/examples/subscribe")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{example}, {node, "examples/subscribe.mjs"}} {
		subscribe := func(name string) *proctest.Process {
			process := exec.Command(command[0], append(command[1:len(command):len(command)], "--name", name, "--anew", s.nats)...)
			process.Env = append(os.Environ(), "NATS_USER=crm", "NATS_PASSWORD=8d1f0c5e7b8d1f0c5e7b8d1f0c5e7b8d")
			return proctest.Start(t, process)
		}
		subscribe("crm").Await(sampleTask + `\.1`)
		other := subscribe("another")
		said := other.Log.Await(t, "no responders|503", other.Ended())
		if said == nil || !strings.Contains(page, "`"+said[0]+"`") {
			t.Errorf("%s: %s", other, other.Log)
		}
		other.Kill()
	}
}
