package connection_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/runner/connection"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// followed is a set that follows a file, which put replaces, and its log.
func followed(t *testing.T, text string) (set *connection.Set, put func(text string), log *proctest.Output) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "connections.yaml")
	put = func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text != "" {
		put(text)
	}
	log = proctest.NewOutput()
	set, err := connection.Follow(path, text == "", zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	return set, put, log
}

func database(t *testing.T, set *connection.Set, name string) string {
	t.Helper()
	where, err := set.Database(name)
	if err != nil {
		return err.Error()
	}
	return filepath.Base(where.SQLite)
}

// Whoever asks gets what the file says at that moment, however often and fast it is changed.
func TestFollow(t *testing.T) {
	set, put, log := followed(t, "a: {sqlite: a.db}")
	for _, name := range []string{"b", "c", "d"} { // of the same length, within the same second
		put("a: {sqlite: " + name + ".db}")
		if got := database(t, set, "a"); got != name+".db" {
			t.Errorf("got %s, want %s.db", got, name)
		}
	}
	put("b: {sqlite: b.db}\nhere: {files: .}")
	if got := database(t, set, "a"); !strings.Contains(got, "there is no connection a in connections.yaml") {
		t.Errorf("a connection that was taken out: %s", got)
	}
	if folder, err := set.Files("here"); err != nil {
		t.Error(err)
	} else {
		folder.Close()
	}
	keeping, release := set.Keep()
	defer release()
	put("{}")
	if got := database(t, keeping, "b"); got != "b.db" {
		t.Errorf("a run under way has %s", got)
	}
	if got := database(t, set, "b"); !strings.Contains(got, "the runner has no connections") {
		t.Errorf("an empty file has %s", got)
	}
	if n := strings.Count(log.String(), "read again"); n != 5 {
		t.Errorf("five changes are logged %d times:\n%s", n, log)
	}
}

// A file that cannot be used gives a run no connection, as it gives task check none, and is logged once.
func TestFollowWithAFault(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_SECRET", "hunter2")
	set, put, log := followed(t, "a: {sqlite: a.db}\nhere: {files: .}\nweb: {http: {url: 'https://example.org'}}")
	keeping, release := set.Keep()
	defer release()
	faults := 0
	for text, says := range map[string]string{
		"a: {sqlite: '${RUNHOOK_TEST_SECRET}'}\nb: {sqllite: b.db}": `connections.yaml:2: the connection b has the unknown kind "sqllite"; did you mean sqlite? No run has a connection until`,
		"a: {sqlite: a.db}\nb: {sqlite: ":                           "connections.yaml:2: is not valid YAML here",
		"a: {sqlite: '${RUNHOOK_TEST_NOWHERE}'}\na: {files: .}":     "connections.yaml:1: the environment variable RUNHOOK_TEST_NOWHERE is not set. That is not all: `runhook task check` lists 1 more",
	} {
		put(text)
		_, database := set.Database("a")
		_, folder := set.Files("here")
		_, service := set.HTTP("web")
		_, site := set.IMIS("web")
		for _, err := range []error{database, folder, service, site} {
			failure, ok := errors.AsType[*run.Failure](err)
			if !ok || !failure.Passing || !strings.HasPrefix(failure.Message, says) || strings.Contains(failure.Message, "hunter2") {
				t.Errorf("%s: %v", text, err)
			}
		}
		faults++
		if n := strings.Count(log.String(), "is not used"); n != faults || strings.Contains(log.String(), "hunter2") {
			t.Errorf("logged %d times, not %d:\n%s", n, faults, log)
		}
	}
	if got := database(t, keeping, "a"); got != "a.db" {
		t.Errorf("a run under way has %s", got)
	}
	put("b: {sqlite: b.db}")
	if got := database(t, set, "b"); got != "b.db" {
		t.Errorf("mended: %s", got)
	}
	put("b: {sqllite: b.db}")
	broken, release := set.Keep()
	defer release()
	for range 2 {
		_, err := broken.Database("b")
		failure, ok := errors.AsType[*run.Failure](err)
		if !ok || !strings.HasPrefix(failure.Message, "connections.yaml:1: ") {
			t.Fatalf("a run that begins now has %v", err)
		}
		failure.Message = "given up after 3 attempts" // whoever has it may add to it
	}
	put("b: {sqlite: b.db}") // as it was before
	if got := database(t, set, "b"); got != "b.db" {
		t.Errorf("mended by taking the change back: %s", got)
	}
}

// The default file may come later, and may go.
func TestFollowAFileThatIsNotThere(t *testing.T) {
	set, put, log := followed(t, "")
	if got := database(t, set, "a"); !strings.Contains(got, "the runner has no connections") || log.String() != "" {
		t.Errorf("%s\n%s", got, log)
	}
	put("a: {sqlite: a.db}")
	if got := database(t, set, "a"); got != "a.db" {
		t.Errorf("got %s", got)
	}
	where, err := set.Database("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(where.SQLite), "connections.yaml")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := database(t, set, "a"); !strings.HasPrefix(got, "connections.yaml is gone from the runner") || strings.Count(log.String(), "is not used") != 1 {
			t.Errorf("%s\n%s", got, log)
		}
	}
	put("a: {sqlite: a.db}")
	if got := database(t, set, "a"); got != "a.db" {
		t.Errorf("put back: %s", got)
	}
	if _, err := connection.Follow(filepath.Join(t.TempDir(), "c.yaml"), false, zerolog.Nop()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that must be there: %v", err)
	}
}

// A site's turns are shared by the runs before a change and after it.
func TestFollowKeepsThePool(t *testing.T) {
	const site = `prod: {imis: {url: "https://example.imiscloud.com", username: a, password: b}}`
	set, put, _ := followed(t, site)
	share := func() *int {
		where, err := set.IMIS("prod")
		if err != nil {
			t.Fatal(err)
		}
		return connection.Share(where.Pool, "turns", func() *int { return new(int) })
	}
	before := share()
	put(site + "\na: {sqlite: a.db}")
	if database(t, set, "a"); share() != before {
		t.Error("after a change the site has another turn")
	}
}

// A file that nobody has touched for a while is not read again.
func TestFollowReadsNoFileTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "connections.yaml")
	if err := os.WriteFile(path, []byte("a: {sqlite: a.db}"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	set, err := connection.Follow(path, false, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("a: {sqlite: b.db}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if got := database(t, set, "a"); got != "a.db" {
		t.Errorf("the file was read again: %s", got)
	}
}

func TestLookLogsWithoutARun(t *testing.T) {
	set, put, log := followed(t, "a: {sqlite: a.db}")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); set.Look(ctx) }()
	put("a: {sqlite: ")
	log.Await(t, "connections.yaml:.: is not valid YAML", nil)
	stop()
	<-ended
}

// Of a change within the grain of a file's time, and of the same length, the time says nothing.
func TestFollowReadsAFileThatHasJustChanged(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "connections.yaml"), time.Now()
	put := func(text string) {
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, now, now)); err != nil {
			t.Fatal(err)
		}
	}
	put("a: {sqlite: a.db}")
	set, err := connection.Follow(path, false, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	put("a: {sqlite: b.db}")
	if got := database(t, set, "a"); got != "b.db" {
		t.Errorf("got %s, want b.db", got)
	}
}
