package csvfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/shared/proctest"
	"runhook/shared/task"
)

// A file that is replaced while a run waits for its lock is the one that is appended to, not the one that was
// opened before the wait.
func TestAppendToAFileThatIsReplacedDuringTheWait(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "out.csv")
	opened := func() (count int) {
		links, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links {
			if to, err := os.Readlink("/proc/self/fd/" + link.Name()); err == nil && strings.HasPrefix(to, path) {
				count++
			}
		}
		return count
	}
	holder, waiting := create(t, folder, task.Append), create(t, folder, task.Append)
	defer waiting.Close()
	if err := holder.Write(t.Context(), rows("holder", 0, 1), anyTime); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- waiting.Write(t.Context(), rows("waiting", 0, 1), anyTime) }()
	proctest.Eventually(t, "the other one has opened the file", func() bool { return opened() == 2 })
	if err := os.WriteFile(path+".new", []byte("who,n\nnew,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	holder.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "who,n\nnew,1\nwaiting,0\n" {
		t.Errorf("the file is %q, %v", text, err)
	}
}
