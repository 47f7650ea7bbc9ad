// Package deploy_test runs the program as it is run in the world: the built binary, behind a real
// proxy, called by a real browser, curl and Node.js.
package deploy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// program is the built binary; `make test` installs everything else that these tests start.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "runhook-deploy-*")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "runhook")
	build := exec.Command("go", "build", "-o", program, "runhook/cmd/runhook")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s\n%v\n", out, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

const sampleTask = "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd"

// site is one running installation with the task of the samples on it.
type site struct {
	url, nats, dir string
}

// start runs `runhook serve` on a small table with the sample's task, whose parameter is ID.
func start(t *testing.T) site {
	t.Helper()
	s := site{dir: taskFiles(t)}
	out := launch(t, program, "serve", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0",
		"--data", filepath.Join(s.dir, "data"), "--tasks", filepath.Join(s.dir, "tasks"),
		"--connections", filepath.Join(s.dir, "connections.yaml"))
	found := out.await(t, `listens on (http://[^ ]+) \(NATS on (nats://[^,]+),`)
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

// output is what a process has printed so far.
type output struct {
	lines chan string
	all   bytes.Buffer
}

// launch starts a program that runs until the end of the test, and collects what it prints.
func launch(t *testing.T, name string, args ...string) *output {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 15 * time.Second
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &output{lines: make(chan string, 4096)}
	ended := make(chan struct{})
	go func() {
		defer close(o.lines)
		for lines := bufio.NewScanner(read); lines.Scan(); {
			o.lines <- lines.Text()
		}
	}()
	go func() { defer close(ended); _ = cmd.Wait(); _ = write.Close() }()
	t.Cleanup(func() {
		cancel()
		for line := range o.lines {
			fmt.Fprintln(&o.all, line)
		}
		<-ended
		if t.Failed() {
			t.Logf("%s %s printed:\n%s", filepath.Base(name), args[0], o.all.String())
		}
	})
	return o
}

// await waits until a line matches.
func (o *output) await(t *testing.T, pattern string) []string {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	limit := time.After(30 * time.Second)
	for {
		select {
		case line, open := <-o.lines:
			if !open {
				t.Fatalf("ended before it printed %q:\n%s", pattern, o.all.String())
			}
			fmt.Fprintln(&o.all, line)
			if found := wanted.FindStringSubmatch(line); found != nil {
				return found
			}
		case <-limit:
			t.Fatalf("did not print %q within 30 s:\n%s", pattern, o.all.String())
		}
	}
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

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
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
