// Package deploy_test runs the program as it is run in the world: the built binary, behind a real
// proxy, called by a real browser, curl and Node.js.
package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runhook/shared/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

const sampleTask = "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd"

// site is one running installation with the task of the samples on it.
type site struct {
	url, nats, dir string
}

// start runs `runhook serve` on a small table with the sample's task, whose parameter is ID.
func start(t *testing.T) site {
	t.Helper()
	s := site{dir: taskFiles(t)}
	served := launch(t, proctest.Program(t), "serve", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0",
		"--data", filepath.Join(s.dir, "data"), "--tasks", filepath.Join(s.dir, "tasks"),
		"--connections", filepath.Join(s.dir, "connections.yaml"))
	found := served.Await(`listens on (http://[^ ]+) \(NATS on (nats://[^,]+),`)
	s.url, s.nats = found[1], found[2]
	return s
}

// taskFiles writes the sample's task, its connections and its data into a folder.
func taskFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"people.csv":       "id,name,state\n1,Ann,CA\n2,Bob,TX\n3,Cid,CA\n",
		"connections.yaml": "drop: {files: .}\nwarehouse: {sqlite: ./warehouse.db}\n",
		"tasks/people.yaml": `id: ` + sampleTask + `
name: People
parameters: [{name: ID}]
source: {csv: {connection: drop, path: people.csv}}
where: params.ID == "" || state == params.ID
mapping: {id: id, name: name}
destination: {sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}}
`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// launch starts a program that runs until the end of the test, and is then asked to end, so that it can
// end its own children.
func launch(t *testing.T, name string, args ...string) *proctest.Process {
	t.Helper()
	p := proctest.Start(t, exec.Command(name, args...))
	t.Cleanup(func() { p.Signal(syscall.SIGINT); p.Wait() })
	return p
}

// need fails the test where a program is missing, because a test that is skipped tests nothing.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: run `make needs`", name)
	}
	return path
}

// needPackages fails the test where the npm packages of the examples are missing.
func needPackages(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("examples/node_modules/.installed"); err != nil {
		t.Fatalf("the npm packages of deploy/examples are not installed: run `make needs`")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// relocate puts another address and task into a sample.
func relocate(sample, url string) string {
	return strings.NewReplacer(
		"https://iimport.cloud.csiinc.com", url,
		"Host: iimport.cloud.csiinc.com", "Host: "+strings.TrimPrefix(url, "http://"),
		"00000000-0000-0000-0000-000000000000", sampleTask,
	).Replace(sample)
}
