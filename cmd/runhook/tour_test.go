//go:build !bench

package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"runhook/shared/proctest"
)

// The tour's lines do what it says when they are pasted.
func TestTourOfTheDemo(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	i := begin(t, "serve", "--demo", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--grace", "100ms", "--data", s.path("data")).listening()
	i.out.Await(t, `in force within a second`, i.ended)
	_, tour, _ := strings.Cut(i.out.String(), "Your turn")
	var script strings.Builder
	started := "" // by the last line that started a run
	for _, line := range regexp.MustCompile(`(?m)^  (\S.*)$`).FindAllStringSubmatch(tour, -1) {
		command := strings.NewReplacer("go run ./cmd/runhook", proctest.Program(t), os.Args[0], proctest.Program(t)).Replace(line[1])
		if run := regexp.MustCompile(` run (\w+) `).FindStringSubmatch(command); run != nil {
			started = run[1]
		}
		switch {
		case strings.HasPrefix(command, "sqlite3 "):
			continue // not on every machine
		case strings.Contains(command, "run slow"):
			command = strings.Replace(command, " --wait", "", 1)
		case strings.Contains(command, "NUMBER"):
			command = strings.Replace(command, "NUMBER", "$("+proctest.Program(t)+" runs list --task "+started+" --json --server "+i.url+" --data "+s.path("data")+" | sed -n 's/.*\"ImportId\": \\([0-9]*\\).*/\\1/p' | head -1)", 1)
		}
		script.WriteString(command + "\n")
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-ec", script.String()).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, &script, out)
	}
	contains(t, "the tour", strings.ReplaceAll(string(out), "\r", ""), `HTTP/1.1 202 Accepted
HTTP/1.1 200 OK
Success, but 5 rows failed, after … s: 205 rows read, 200 inserted, 5 failed
  2 rows: Title is too long (max 35): 57, 181
…id,iata,name,place,latitude,Row,Column,Reason
…2Q3,…,Place,…Place must name one city only.…
Success after … s: 205 rows read, 5 inserted, 200 unchanged
HTTP/1.1 400 Bad Request
…State is required and has no value…
Success after … s: 205 rows read, 205 inserted
Success after … s: 3376 rows read, 3376 inserted
Run … of "Slow copy" is accepted…
Success, but 3 rows failed, after … s: 8 rows read, 5 inserted, 3 failed
Success after … s: 3 rows read, 3 inserted
Into a panel …: nothing is wrong
Read all 3376 rows of the source: 6 to write, 3370 skipped by where, 0 failed. Nothing was written.
Dry run, nothing was written.
Success after … s: 205 rows read, 205 inserted
Run … of "Nightly fetch": Success…
Nightly fetch, line … 30 2 * * * (UTC)
`)
	eventually(t, i, "the tasks of the night have started one another", func() bool {
		return strings.Contains(mustCall(t, "runs", "list", "--trigger", "chain", "--outcome", "success", "--server", i.url, "--data", s.path("data")), "Nightly summary")
	})
	if summary, err := os.ReadFile(s.path("data/demo/files/nightly.csv")); err != nil || !strings.Contains(string(summary), "Success, 20") || !strings.Contains(string(summary), " in the panel, ") {
		t.Errorf("the summary of the night: %.200s %v", summary, err)
	}
	if _, err := os.Stat(s.path("data/demo/files/northern.csv")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dry run wrote: %v", err)
	}
	i.end()
}
