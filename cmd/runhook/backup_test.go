package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/web"
)

// statusOf reads a status URL of one server at another one.
func (i *instance) statusOf(url string) (status int, body []byte) {
	i.t.Helper()
	at := strings.Index(url, "/task/")
	response, err := http.Get(i.url + url[at:])
	if err != nil {
		i.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return response.StatusCode, body
}

// accept starts a run and returns its number and status URL; ok is false when it was not accepted.
func (i *instance) accept(s *site) (number, url string, ok bool) {
	response, err := http.Post(i.url+"/task/executepolling/"+string(s.copy), "", nil)
	if err != nil {
		return "", "", false
	}
	defer func() { _ = response.Body.Close() }()
	var doc run.Document
	if response.StatusCode/100 != 2 || json.NewDecoder(response.Body).Decode(&doc) != nil {
		return "", "", false
	}
	return doc.ImportID.String(), doc.PollingURL, true
}

// A store is backed up while POSTs come and runs are under way. The restored one has everything that
// was accepted before: what had ended, byte for byte; what had not, it ends.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--grace", "0s")...).listening()
	ended := map[string][]byte{} // status URL → document
	before := map[string]string{}
	for range 5 {
		number, url, _ := i.accept(s)
		before[number] = url
		eventually(t, i, "run "+number+" has ended", func() bool {
			status, body := i.statusOf(url)
			ended[url] = body
			return status == http.StatusOK
		})
	}
	release := s.hold()
	for range 10 { // one under way, the others wait
		number, url, _ := i.accept(s)
		before[number] = url
	}
	ctx, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	var mu sync.Mutex
	after := map[string]string{}
	for range 4 {
		loading.Go(func() {
			for ctx.Err() == nil {
				if number, url, ok := i.accept(s); ok {
					mu.Lock()
					after[number] = url
					mu.Unlock()
				}
			}
		})
	}
	file := s.path("runhook.backup")
	said := mustCall(t, "backup", file, "--nats", i.nats)
	during, accepted := 0, func() int { mu.Lock(); defer mu.Unlock(); return len(after) }
	for during = accepted(); accepted() < during+20; { // the restored store knows nothing of them
		i.accept(s)
	}
	stop()
	loading.Wait()
	release()
	oldStore := regexpStore(t, said)
	i.end()
	t.Logf("%d runs were accepted before the backup, %d while it was made, %d after it", len(before), during, len(after)-during)

	said = mustCall(t, "restore", file, "--data", s.path("restored"))
	if !strings.Contains(said, "Restored the store "+oldStore) || strings.Count(said, oldStore) != 1 {
		t.Errorf("restore says: %s", said)
	}
	r := begin(t, s.args("--data", s.path("restored"))...).listening()
	if strings.Contains(r.log.String(), "damaged") {
		t.Errorf("the restored store is taken for a damaged one:\n%s", r.log)
	}
	for url, document := range ended {
		if status, body := r.statusOf(url); status != http.StatusOK || !bytes.Equal(body, document) {
			t.Errorf("%s: %d\n%s\nwas\n%s", url, status, body, document)
		}
	}
	present := map[string]string{}
	for number, url := range before {
		present[number] = url
		eventually(t, r, "run "+number+" has ended", func() bool {
			status, _ := r.statusOf(url)
			return status == http.StatusOK
		})
	}
	number, url, ok := r.accept(s)
	if !ok || before[number] != "" || after[number] != "" {
		t.Errorf("the next run is %s, which was somebody else's", number)
	}
	present[number] = url
	for number, url := range after { // in the backup or not, but never another one's
		switch status, _ := r.statusOf(url); status {
		case http.StatusOK, http.StatusAccepted:
			present[number] = url
		case http.StatusGone:
		default:
			t.Errorf("run %s, accepted during the backup: %d", number, status)
		}
	}
	for number, url := range present {
		eventually(t, r, "run "+number+" has ended", func() bool {
			status, _ := r.statusOf(url)
			return status == http.StatusOK
		})
	}
	wantOneEventEach(t, r, present)
	if status := get(t, r.url+"/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d", status)
	}
}

func regexpStore(t *testing.T, said string) string {
	t.Helper()
	_, rest, ok := strings.Cut(said, "the store ")
	if !ok || len(rest) < 36 {
		t.Fatalf("backup says: %s", said)
	}
	return rest[:36]
}

// backedUp makes a stopped data directory with a run that ended, and a backup of it.
func backedUp(t *testing.T) (s *site, file, url string) {
	t.Helper()
	s = newSite(t)
	i := begin(t, s.args()...).listening()
	started := i.start(s.copy, nil)
	i.awaitEnd(started)
	i.end()
	file = s.path("runhook.backup")
	mustCall(t, "backup", file, "--data", s.path("data"))
	return s, file, started.Document.PollingURL
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	s, file, url := backedUp(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup is not its owner's alone: %v %v", info.Mode(), err)
	}
	target := s.path("restored")
	refused := func(what, says string, args ...string) {
		t.Helper()
		code, out, messages := ask(t, append([]string{"restore", "--log-level=error"}, args...)...)
		if code != exitNoStart || out != "" || !oneLine(messages, says) {
			t.Errorf("%s: exit code %d, %s%s", what, code, out, messages)
		}
		if _, err := os.Stat(target); !os.IsNotExist(err) {
			t.Errorf("%s: the data directory was touched", what)
		}
	}
	for _, size := range []int{0, 1, 511, 700, len(whole) / 2, len(whole) - 3000, len(whole) - 1024 - 520} {
		s.write("cut", string(whole[:size]))
		says := "is cut short"
		if size <= 512 {
			says = "is not a backup"
		}
		refused("cut", says, s.path("cut"), "--data", target)
	}
	for _, at := range []int{len(whole) / 3, len(whole) - 1024 - 600} {
		changed := bytes.Clone(whole)
		for changed[at] == 0 { // the zeros behind a part mean nothing
			at++
		}
		changed[at] ^= 1
		s.write("changed", string(changed))
		code, _, messages := ask(t, "restore", s.path("changed"), "--data", target)
		if code != exitNoStart || !strings.Contains(messages, "damaged") && !strings.Contains(messages, "cut short") {
			t.Errorf("a changed byte at %d: %d %s", at, code, messages)
		}
	}
	refused("another file", "is not a backup", s.path("people.csv"), "--data", target)
	refused("no file", "no such file", s.path("none"), "--data", target)
	refused("a used directory", "is not empty (it has", file, "--data", s.path("data"))
	i := begin(t, s.args()...).listening()
	refused("a used NATS", "there is a store of Runhook already", file, "--nats", i.nats)
	if doc, _ := i.statusOf(url); doc != http.StatusOK {
		t.Errorf("the store that was there: %d", doc)
	}
	code, _, messages := ask(t, "backup", s.path("another"), "--data", s.path("data"))
	if code != exitNoStart || !oneLine(messages, "give its --nats-listen address") {
		t.Errorf("backup of a used directory: %d %s", code, messages)
	}
	code, _, messages = ask(t, "backup", file, "--nats", i.nats)
	if code != exitNoStart || !oneLine(messages, "is there already") {
		t.Errorf("backup onto a file: %d %s", code, messages)
	}
	if now := read(t, file); now != string(whole) {
		t.Error("the backup that was there has changed")
	}
	code, _, messages = ask(t, "backup", s.path("another"), "--data", s.path("tasks"))
	if code != exitNoStart || !oneLine(messages, "there is no store") {
		t.Errorf("backup of no data directory: %d %s", code, messages)
	}
	left, err := filepath.Glob(s.path("*partial*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// A backup of an embedded server can move to an existing NATS.
func TestRestoreIntoNATS(t *testing.T) {
	t.Parallel()
	s, file, url := backedUp(t)
	nats := bustest.Empty(t, false).Broker
	mustCall(t, "restore", file, "--nats", nats.URL())
	status := begin(t, "status", "--nats", nats.URL(), "--listen", "127.0.0.1:0", "--run-key-file", s.path("data/run.key"), "--admin-token-file", s.token()).listening()
	if code, body := status.statusOf(url); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	// A restore that fails leaves nothing there.
	empty := bustest.Empty(t, false)
	if code, _, messages := ask(t, "restore", file, "--nats", empty.Broker.URL(), "--replicas", "3"); code != exitNoStart || !strings.Contains(messages, "replicas") {
		t.Errorf("three copies on one server: %d %s", code, messages)
	}
	if id, err := recovery.StoreID(t.Context(), empty.Bus); err == nil {
		t.Errorf("a store %s was left", id)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := empty.Init(ctx, bus.Topology{}); err != nil {
		t.Error(err)
	}
}

// insist is mustCall on a cluster that was just started: its servers may be too busy to answer for a while.
func insist(t *testing.T, args ...string) {
	t.Helper()
	proctest.Until(t, func() error {
		if code, _, messages := call(t, args...); code != exitSuccess {
			return errors.New(messages)
		}
		return nil
	})
}

// What three services made on a cluster moves to another cluster, as it was, and to one embedded server.
func TestBackupOfACluster(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cluster := bustest.EmptyCluster(t)
	insist(t, "init", "--nats", cluster.URLs, "--replicas", "3")
	key := s.path("run.key")
	if err := web.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	token := s.token()
	service := func(t *testing.T, name, nats string, more ...string) *instance {
		return begin(t, append([]string{name, "--nats", nats, "--listen", "127.0.0.1:0"}, more...)...).listening()
	}
	ingress := service(t, "ingress", cluster.URLs, "--run-key-file", key)
	status := service(t, "status", cluster.URLs, "--run-key-file", key, "--admin-token-file", token)
	runner := service(t, "runner", cluster.URLs, "--connections", s.path("connections.yaml"))
	mustCall(t, "task", "apply", s.path("tasks"), "--server", status.url)
	started := startWhenKnown(t, ingress, s)
	status.awaitEnd(started)
	ended, document := started.Document.PollingURL, []byte(nil)
	eventually(t, status, "the run has ended", func() bool {
		code, body := status.statusOf(ended)
		document = body
		return code == http.StatusOK
	})
	runner.end()
	_, queued, ok := ingress.accept(s)
	if !ok {
		t.Fatal("the second run was not accepted")
	}
	file := s.path("cluster.backup")
	mustCall(t, "backup", file, "--nats", cluster.URLs)

	for _, done := range []*instance{ingress, status} {
		done.end()
	}

	compare := func(t *testing.T, ingress, status *instance) {
		t.Helper()
		if code, body := status.statusOf(ended); code != http.StatusOK || !bytes.Equal(body, document) {
			t.Errorf("%d\n%s\nwas\n%s", code, body, document)
		}
		eventually(t, status, "the run that was queued has ended", func() bool {
			code, _ := status.statusOf(queued)
			return code == http.StatusOK
		})
		_, fresh, ok := ingress.accept(s)
		eventually(t, status, "a new run has ended", func() bool {
			code, _ := status.statusOf(fresh)
			return ok && code == http.StatusOK
		})
	}
	t.Run("another cluster", func(t *testing.T) {
		t.Parallel()
		other := bustest.EmptyCluster(t)
		insist(t, "restore", file, "--nats", other.URLs)
		service(t, "runner", other.URLs, "--connections", s.path("connections.yaml"))
		compare(t, service(t, "ingress", other.URLs, "--run-key-file", key), service(t, "status", other.URLs, "--run-key-file", key, "--admin-token-file", token))
	})
	t.Run("an embedded server", func(t *testing.T) {
		t.Parallel()
		mustCall(t, "restore", file, "--data", s.path("restored"))
		serve := spawn(t, s.args("--data", s.path("restored"))...).listening()
		compare(t, serve, serve)
		serve.end()
	})
}
