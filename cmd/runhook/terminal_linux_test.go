package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"runhook/shared/bus"
	"runhook/shared/proctest"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo terminal: what is written to tty comes out of the returned output.
func terminal(t testing.TB) (tty *os.File, screen *proctest.Output) {
	t.Helper()
	tty, screen, _ = keyboard(t)
	return tty, screen
}

// keyboard is terminal with what a person types on it.
func keyboard(t testing.TB) (tty *os.File, screen *proctest.Output, keys *os.File) {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("no pseudo terminals here: %v", err)
	}
	number, err := unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	screen = proctest.NewOutput()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(screen, pty) // ends when the last tty is closed
	}()
	t.Cleanup(func() {
		_ = tty.Close()
		<-copied
		_ = pty.Close()
	})
	return tty, screen, pty
}

func TestRunWaitShowsABarOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	release := s.hold()
	tty, screen := terminal(t)
	ended := make(chan struct{})
	code := -1
	go func() {
		defer close(ended)
		code = runhook(t.Context(), authorized([]string{"run", "people", "--wait", "--server", i.url}), tty, tty, noHangups)
	}()
	screen.Await(t, `In progress: .*\|.*\|`, ended)
	release()
	screen.Await(t, `Success after`, ended)
	<-ended
	if code != exitSuccess || !strings.Contains(screen.String(), "\r") {
		t.Errorf("exit code %d, screen %q", code, screen)
	}
}

// The log is for people on a terminal.
func TestLogOnATerminal(t *testing.T) {
	t.Parallel()
	tty, screen := terminal(t)
	log := newLog(tty, 1, new(atomic.Pointer[bus.TaskView]))
	log.Info().Str("task", "Copy people").Msg("run started")
	screen.Await(t, `run started.*task=`, make(chan struct{}))
	if strings.Contains(screen.String(), `{"`) {
		t.Errorf("the log is JSON on a terminal: %s", screen)
	}
}

// A person at a terminal is asked, and reads what to do next.
func TestNewTaskAsks(t *testing.T) {
	for rows, says := range map[string]string{
		"people.csv":      "csv: {connection: here, path: people.csv",
		"prod  $/Members": `imis: {connection: prod, query: "$/Members"`,
	} {
		s := newIMISSite(t)
		t.Chdir(s.dir)
		tty, screen, keys := keyboard(t)
		p := &program{stdin: tty, stdout: tty, stderr: tty}
		ended := make(chan struct{})
		var err error
		go func() {
			defer close(ended)
			err = new(taskNewCommand).Run(t.Context(), p)
		}()
		key := "id"
		if strings.Contains(rows, "$/") {
			key = "ID"
		}
		for _, step := range []struct{ question, answer string }{
			{"Rows come from", rows}, {"They go to", "db.people"}, {"Columns that identify", key}, {"The task's name", "All people"},
		} {
			screen.Await(t, step.question, ended)
			if _, err := keys.WriteString(step.answer + "\n"); err != nil {
				t.Fatal(err)
			}
		}
		<-ended
		screen.Await(t, `Next:`, ended)
		text, readErr := os.ReadFile("tasks/all-people.yaml")
		if err != nil || readErr != nil || !strings.Contains(string(text), "key: ["+key+"], action: upsert") || !strings.Contains(string(text), says) {
			t.Errorf("%v %v\n%s\n%s", err, readErr, text, screen)
		}
	}
}

// Nothing that a cell, a name or a site says controls the terminal, whichever command prints it; a file gets it
// as it is.
func TestNothingControlsTheTerminal(t *testing.T) {
	t.Parallel()
	const evil = "\x1b]0;owned\x07\u009b2J\u202eevil\r\x9b"
	const inert = `\x1b]0;owned\a\u009b2J\u202eevil`
	tty, screen := terminal(t)
	p := &program{stdout: tty, stderr: tty}
	p.printf("a %s\tb\n", evil)
	p.notef("b %s\n", evil)
	if err := errors.Join(p.printTable([][]string{{"c", evil}}), p.printJSON(map[string]string{"d": "\u009b\u202e"})); err != nil {
		t.Fatal(err)
	}
	fail(tty, errors.New("e "+evil))
	sheet := onScreen(tty)
	for _, letter := range []byte("\ufeffid,name\r\nf,Größe 👩\u200d🔧 " + evil + "\r\n") { // as it may come over a line
		if _, err := sheet.Write([]byte{letter}); err != nil {
			t.Fatal(err)
		}
	}
	_ = tty.Close()
	screen.Await(t, `f,Größe .*\n`, nil)
	said := strings.ReplaceAll(screen.String(), "\r\n", "\n") // the terminal's own
	for _, want := range []string{"a " + inert + `\r\x9b`, "b " + inert, "c  " + inert, `"d": "\u009b\u202e"`, "runhook: e " + inert, "\ufeffid,name\n", "f,Größe 👩\u200d🔧 " + inert} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in %q", want, said)
		}
	}
	if strings.ContainsAny(said, "\x1b\x07\u009b\u202e") || strings.Contains(strings.ReplaceAll(said, "\r\n", ""), "\r") {
		t.Errorf("the terminal was told %q", said)
	}
	plain := proctest.NewOutput()
	(&program{stdout: plain}).printf("%s", evil)
	if plain.String() != evil {
		t.Errorf("a file gets %q", plain)
	}
}

// On a terminal a list has colors, unless there are to be none, and the runs of a task are a table in its place.
func TestRunsOnATerminal(t *testing.T) {
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	i.awaitEnd(i.start(s.copy, nil))
	t.Setenv("TERM", "xterm")
	show := func(args ...string) (*proctest.Output, <-chan struct{}, func()) {
		tty, screen := terminal(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			runhook(ctx, authorized(append(args, "--server", i.url)), tty, tty, noHangups)
		}()
		return screen, ended, func() { stop(); <-ended }
	}
	t.Setenv("NO_COLOR", "")
	screen, ended, _ := show("runs", "list")
	screen.Await(t, "1  Copy people  \x1b\\[32mSuccess\x1b\\[0m  ", ended)
	<-ended
	t.Setenv("NO_COLOR", "1")
	screen, ended, _ = show("runs", "list")
	screen.Await(t, "1  Copy people  Success  ", ended)
	<-ended

	screen, ended, stop := show("runs", "watch", "--task", "people")
	screen.Await(t, "1  Copy people  Success", ended)
	i.awaitEnd(i.start(s.copy, nil))
	screen.Await(t, "\x1b\\[2A\x1b\\[JRUN.*\r\n *2  Copy people .*\r\n *1  Copy people", ended)
	stop()
}

// A cancel of many runs shows on a terminal how far it is.
func TestCancelOfManyOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--hold")...).listening()
	i.queue(s, fewRuns+5)
	var asked atomic.Int64
	shown := make(chan struct{})
	server := i.between(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/cancel") && asked.Add(1) > 20 {
			<-shown
		}
		pass.ServeHTTP(w, r)
	})
	tty, screen := terminal(t)
	ended := make(chan struct{})
	code := -1
	go func() {
		defer close(ended)
		code = runhook(t.Context(), authorized([]string{"runs", "cancel", "--queued", "--server", server}), tty, tty, noHangups)
	}()
	screen.Await(t, `Canceling .*\(\d+/25`, ended)
	close(shown)
	screen.Await(t, `Canceled 25 of 25 runs\.`, ended)
	<-ended
	if code != exitSuccess {
		t.Errorf("exit code %d, screen %q", code, screen)
	}
}

// The audit fits a terminal, and nothing of it is cut.
func TestAuditOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	why := strings.TrimSpace(strings.Repeat("words ", 30))
	mustCall(t, "connections", "pause", "db", "--why", why, "--server", i.url)
	tty, screen := terminal(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if code := runhook(t.Context(), authorized([]string{"audit", "--server", i.url}), tty, tty, noHangups); code != exitSuccess {
			t.Errorf("exit code %d", code)
		}
	}()
	<-ended
	screen.Await(t, `connection\s+db:(\s+words){30}\s`, nil)
	for line := range strings.Lines(strings.ReplaceAll(screen.String(), "\r", "")) {
		if len(line) > 80+len("\n") {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}
