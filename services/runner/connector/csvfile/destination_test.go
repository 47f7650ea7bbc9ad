package csvfile

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/proctest"
	"runhook/shared/task"
)

// connections has the files connection drop on a folder.
func connections(t testing.TB, folder string) *connection.Set {
	t.Helper()
	set, err := parse(folder)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func parse(folder string) (*connection.Set, error) {
	return connection.Parse([]byte("drop: {files: .}\n"), filepath.Join(folder, "connections.yaml"))
}

// create opens out.csv in the folder, with the columns who and n.
func create(t testing.TB, folder string, action task.Action) *Destination {
	t.Helper()
	d, err := open(folder, action)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// open is create for a process that runs no test.
func open(folder string, action task.Action) (*Destination, error) {
	set, err := parse(folder)
	if err != nil {
		return nil, err
	}
	return Create(set, &task.CSVDestination{Connection: "drop", Path: "out.csv", Action: action}, []string{"who", "n"})
}

// rows is a batch of count rows of somebody.
func rows(who string, from, count int) *row.Batch {
	b := row.NewBatch(2)
	for i := range count {
		r := b.Add(int64(from + i))
		r.Values[0], r.Values[1] = who, from+i
	}
	return b
}

func anyTime(int64) error { return nil }

// appendRows is a whole run that appends, in many batches.
func appendRows(ctx context.Context, d *Destination, who string, batches int) error {
	defer d.Close()
	for i := range batches {
		if err := d.Write(ctx, rows(who, 100*i, 100), anyTime); err != nil {
			return err
		}
	}
	return d.Finish(ctx)
}

// checkAppended expects one header and each writer's rows together and in order.
func checkAppended(t *testing.T, folder string, writers, each int) {
	t.Helper()
	f, err := os.Open(filepath.Join(folder, "out.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	if !lines.Scan() || lines.Text() != "who,n" {
		t.Fatalf("the file begins with %q", lines.Text())
	}
	seen := map[string]bool{}
	for range writers {
		who := ""
		for n := range each {
			if !lines.Scan() {
				t.Fatalf("the file ends in row %d of %s", n, who)
			}
			name, number, _ := strings.Cut(lines.Text(), ",")
			if n == 0 {
				who = name
			}
			if name != who || number != fmt.Sprint(n) || n == 0 && seen[who] {
				t.Fatalf("%q stands where row %d of %s should", lines.Text(), n, who)
			}
		}
		seen[who] = true
	}
	if lines.Scan() {
		t.Errorf("%q stands behind everything", lines.Text())
	}
}

func TestAppendsAtTheSameTime(t *testing.T) {
	folder := t.TempDir()
	var all sync.WaitGroup
	for i := range 5 {
		d := create(t, folder, task.Append) // all have seen that there is no file
		all.Go(func() {
			if err := appendRows(t.Context(), d, fmt.Sprint("run ", i), 20); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	checkAppended(t, folder, 5, 2000)
}

// childFolder is where a process that a test has started finds its folder.
const childFolder = "RUNHOOK_TEST_FOLDER"

func TestMain(m *testing.M) {
	proctest.Main(m, proctest.Role{Name: "append", Play: appendInFolder}, proctest.Role{Name: "replace", Play: replaceInFolder})
}

func appendInFolder() error {
	d, err := open(os.Getenv(childFolder), task.Append)
	if err != nil {
		return err
	}
	return appendRows(context.Background(), d, fmt.Sprint("process ", os.Getpid()), 20)
}

// replaceInFolder writes, says so, and goes on living until it is killed.
func replaceInFolder() error {
	d, err := open(os.Getenv(childFolder), task.Replace)
	if err != nil {
		return err
	}
	if err := d.Write(context.Background(), rows("killed", 0, 100), anyTime); err != nil {
		return err
	}
	fmt.Println("written")
	time.Sleep(proctest.Limit)
	return d.Finish(context.Background())
}

func child(t *testing.T, folder, role string) *proctest.Process {
	t.Helper()
	return proctest.Start(t, proctest.Self(role, childFolder+"="+folder))
}

func TestProcessesThatAppendAtTheSameTime(t *testing.T) {
	folder := t.TempDir()
	var all []*proctest.Process
	for range 4 {
		all = append(all, child(t, folder, "append"))
	}
	for _, one := range all {
		if code := one.Wait(); code != 0 {
			t.Errorf("%s ended with %d", one, code)
		}
	}
	checkAppended(t, folder, 4, 2000)
}

func TestTheWaitForAnotherAppendCanBeEnded(t *testing.T) {
	folder := t.TempDir()
	first, second := create(t, folder, task.Append), create(t, folder, task.Append)
	defer first.Close()
	if err := first.Write(t.Context(), rows("first", 0, 1), anyTime); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := second.Write(ctx, rows("second", 0, 1), func(int64) error { t.Error("it was about to write"); return nil })
	second.Close()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(filepath.Join(folder, "out.csv")); string(text) != "who,n\nfirst,0\n" {
		t.Errorf("the file is %q", text)
	}
}

// What is seen under the lock counts, not what was seen when the run began.
func TestAppendLooksAgainUnderTheLock(t *testing.T) {
	for name, change := range map[string]struct{ before, now, want, problem string }{
		"another header":   {"who,n\n", "n,who\n", "n,who\n", "nothing was appended"},
		"emptied":          {"who,n\nold,1\n", "", "who,n\nnew,0\n", ""},
		"without line end": {"who,n\n", "who,n\nold,1", "who,n\nold,1\nnew,0\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, "out.csv")
			if err := os.WriteFile(path, []byte(change.before), 0o600); err != nil {
				t.Fatal(err)
			}
			d := create(t, folder, task.Append)
			defer d.Close()
			// Another program replaces the file.
			if err := os.WriteFile(path+".new", []byte(change.now), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
			err := d.Write(t.Context(), rows("new", 0, 1), anyTime)
			if (err != nil) != (change.problem != "") || err != nil && !strings.Contains(err.Error(), change.problem) {
				t.Errorf("got %v", err)
			}
			if text, _ := os.ReadFile(path); string(text) != change.want {
				t.Errorf("the file is %q, want %q", text, change.want)
			}
		})
	}
}

// A run without rows waits for nobody, and leaves the file alone.
func TestAppendOfNothing(t *testing.T) {
	folder := t.TempDir()
	holder := create(t, folder, task.Append)
	defer holder.Close()
	if err := holder.Write(t.Context(), rows("holder", 0, 1), anyTime); err != nil {
		t.Fatal(err)
	}
	if err := appendRows(t.Context(), create(t, folder, task.Append), "nobody", 0); err != nil {
		t.Error(err)
	}
	unused := t.TempDir()
	if err := appendRows(t.Context(), create(t, unused, task.Append), "nobody", 0); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(unused, "out.csv")); string(text) != "who,n\n" {
		t.Errorf("a new file is %q, %v", text, err)
	}
	if create(t, folder, task.Append).Close(); len(list(t, folder)) != 1 {
		t.Errorf("the folder has %v", list(t, folder))
	}
}

func list(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// A replace removes what killed ones of the same file have left, and nothing else.
func TestReplaceSweepsUpAfterTheKilled(t *testing.T) {
	folder := t.TempDir()
	killed := child(t, folder, "replace")
	killed.Await("written")
	orphan := list(t, folder)
	if len(orphan) != 1 || !strings.HasPrefix(orphan[0], ".out.csv.") {
		t.Fatalf("the child's folder has %v", orphan)
	}

	kept := []string{".out.csv.tmp", ".out.csv.short.tmp", ".other.csv." + rand.Text() + ".tmp", "out.csv." + rand.Text() + ".tmp"}
	for _, name := range kept {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	alive := create(t, folder, task.Replace) // while the child lives
	defer alive.Close()
	if got := list(t, folder); len(got) != len(kept)+2 {
		t.Errorf("with two writers at work the folder has %v", got)
	}
	killed.Kill()
	next := create(t, folder, task.Replace)
	if err := next.Write(t.Context(), rows("next", 0, 1), anyTime); err != nil {
		t.Fatal(err)
	}
	if err := next.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !next.Close() {
		t.Error("not kept")
	}
	got := strings.Join(list(t, folder), " ")
	if strings.Contains(got, orphan[0]) || len(list(t, folder)) != len(kept)+2 || !strings.Contains(got, filepath.Base(alive.temporary)) {
		t.Errorf("the folder has %s", got)
	}
	if text, _ := os.ReadFile(filepath.Join(folder, "out.csv")); string(text) != "who,n\nnext,0\n" {
		t.Errorf("the file is %q", text)
	}
}

// What stands behind the checkpoint and is not what would be written is another writer's, and stays.
func TestContinueLeavesWhatOthersHaveAppended(t *testing.T) {
	folder := t.TempDir()
	d := create(t, folder, task.Append)
	if err := d.Write(t.Context(), rows("Ann", 0, 2), anyTime); err != nil {
		t.Fatal(err)
	}
	length := d.Length()
	d.Close()
	other := create(t, folder, task.Append)
	if err := errors.Join(other.Write(t.Context(), rows("Zoe", 7, 1), anyTime), other.Finish(t.Context())); err != nil {
		t.Fatal(err)
	}
	other.Close()
	d = create(t, folder, task.Append)
	d.ContinueBehind(length)
	if err := errors.Join(d.Write(t.Context(), rows("Ann", 2, 1), anyTime), d.Finish(t.Context())); err != nil {
		t.Fatal(err)
	}
	d.Close()
	text, err := os.ReadFile(filepath.Join(folder, "out.csv"))
	if want := "who,n\nAnn,0\nAnn,1\nZoe,7\nAnn,2\n"; err != nil || string(text) != want {
		t.Errorf("got %q, want %q: %v", text, want, err)
	}
}

// Whatever rows the interrupted attempt put into a batch, and wherever in a row it was interrupted: with
// another writer behind it, each row that it had written whole is there once.
func TestContinueRecognizesRowsInOtherBatches(t *testing.T) {
	for _, written := range []int{0, 1, 4, 6} {
		for _, torn := range []string{"", "An", "Ann,\"4"} {
			for _, batches := range [][]int{{6}, {1, 1, 1, 1, 1, 1}, {2, 3, 1}, {3, 3}, {4, 2}, {5, 1}} {
				for _, others := range []bool{false, true} {
					name := fmt.Sprint(written, torn, batches, others)
					folder := t.TempDir()
					text := "who,n\nbefore,0\n"
					behind := int64(len(text))
					for n := range written {
						text += fmt.Sprintf("\"Ann\nLee\",%d\n", n)
					}
					want := text
					if torn != "" && written < 6 {
						torn := fmt.Sprintf("\"Ann\nLee\",%d\n", written)[:len(torn)]
						text += torn
						if others {
							want += torn + "\n"
						}
					}
					if others {
						text += "Zoe,7\n"
						if !strings.HasSuffix(want, "\n") || torn != "" && written < 6 {
							text = strings.TrimSuffix(text, "Zoe,7\n") + "\nZoe,7\n"
						}
						want += "Zoe,7\n"
					}
					for n := written; n < 6; n++ {
						want += fmt.Sprintf("\"Ann\nLee\",%d\n", n)
					}
					path := filepath.Join(folder, "out.csv")
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					d := create(t, folder, task.Append)
					d.ContinueBehind(behind)
					from := 0
					for _, count := range batches {
						if err := d.Write(t.Context(), rows("Ann\nLee", from, count), anyTime); err != nil {
							t.Fatal(err)
						}
						from += count
					}
					if err := d.Finish(t.Context()); err != nil {
						t.Fatal(err)
					}
					d.Close()
					if got, err := os.ReadFile(path); err != nil || string(got) != want {
						t.Errorf("%s: got %q, want %q: %v", name, got, want, err)
					}
				}
			}
		}
	}
}

// What a run has written is on disk before it has succeeded, and so is a file's new name; each before what
// depends on it.
func TestFinishSyncs(t *testing.T) {
	defer func(was func(*os.File) error) { syncFile = was }(syncFile)
	for _, action := range []task.Action{task.Append, task.Replace} {
		folder := t.TempDir()
		d := create(t, folder, action)
		if err := d.Write(t.Context(), rows("Ann", 0, 1), anyTime); err != nil {
			t.Fatal(err)
		}
		var synced []string
		fails := true
		syncFile = func(file *os.File) error {
			_, missing := os.Stat(filepath.Join(folder, "out.csv"))
			info, err := file.Stat()
			if err != nil {
				t.Fatal(err)
			}
			synced = append(synced, fmt.Sprintf("folder %v, there %v", info.IsDir(), missing == nil))
			if fails {
				return errors.New("the disk is gone")
			}
			return file.Sync()
		}
		if err := d.Finish(t.Context()); err == nil || !strings.Contains(err.Error(), "could not be written") {
			t.Errorf("%s: with a disk that fails: %v", action, err)
		}
		fails, synced = false, nil
		if err := d.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.Close()
		want := "folder false, there true"
		if action == task.Replace {
			want = "folder false, there false; folder true, there true"
		}
		if got := strings.Join(synced, "; "); got != want {
			t.Errorf("%s: synced %s, want %s", action, got, want)
		}
	}
}
