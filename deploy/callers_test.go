package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"runhook/shared/proctest"
)

// Each program of the page starts a run once and waits for its end, also if the server is killed in the middle.
func TestCallers(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/callers.md")
	s := startSlowly(t, read(t, "docs/flows.md"))
	need(t, "curl")
	last := int64(0)
	for _, program := range []struct{ fence, command, file string }{
		{"sh", "sh", "refresh.sh"}, {"python", need(t, "python3"), "refresh.py"}, {"js", need(t, "node"), "refresh.mjs"},
	} {
		t.Run(program.fence, func(t *testing.T) {
			block := regexp.MustCompile("(?s)```" + program.fence + "\n(.*?)```").FindStringSubmatch(page)
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, program.file), []byte(block[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			run := func(state string) *proctest.Process {
				command := exec.Command(program.command, program.file, "http://"+s.address+"/task/executepolling/"+flowTask, state)
				command.Dir, command.Env = dir, append(os.Environ(), "RUNHOOK_KEY="+flowKey)
				return proctest.Start(t, command)
			}
			final := func(p *proctest.Process, code int) (doc document) {
				t.Helper()
				if got := p.Wait(); got != code {
					t.Errorf("exit code %d, want %d", got, code)
				}
				if err := json.Unmarshal([]byte(p.Out.String()), &doc); err != nil {
					t.Fatalf("%v: %s%s", err, p.Out, p.Log)
				}
				return doc
			}
			killed := run("CA")
			s.program.Log.Await(t, fmt.Sprintf(`"run":"%d".*"run started"`, last+1), s.program.Ended())
			s.program.Kill()
			s.start()
			if doc := final(killed, 0); doc.Status != "D" || doc.RowsProcessed != 19 || doc.ImportId != last+1 {
				t.Errorf("%+v, and the run before was %d", doc, last)
			}
			if doc := final(run("NY"), 1); doc.StatusDescription != "Failed" || doc.ImportId != last+2 {
				t.Errorf("%+v, and the run before was %d", doc, last+1)
			}
			last += 2
			if code := run("").Wait(); code != 1 {
				t.Errorf("a POST without a State ends with %d", code)
			}
		})
	}
}
