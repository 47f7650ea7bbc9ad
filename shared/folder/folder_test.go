package folder_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/folder"
	"runhook/shared/proctest"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// fixture is a store, its view of the tasks, and a folder.
type fixture struct {
	t     *testing.T
	store *bustest.Store
	tasks *bus.TaskView
	dir   string
	log   *proctest.Output
}

func newFixture(t *testing.T) *fixture {
	store := bustest.New(t, bus.Topology{})
	ctx, cancel := context.WithCancel(t.Context())
	view, done, err := store.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); <-done })
	f := &fixture{t: t, store: store, tasks: view, dir: filepath.Join(t.TempDir(), "tasks"), log: proctest.NewOutput()}
	f.check(os.Mkdir(f.dir, 0o755))
	return f
}

func (f *fixture) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) write(name string, id task.ID, title string) {
	f.t.Helper()
	text := fmt.Sprintf("id: %s\nname: %s\nsource: {csv: {connection: a, path: b.csv}}\nmapping: {id: id}\ndestination: {csv: {connection: a, path: c.csv, action: replace}}\n", id, title)
	f.check(os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o644))
}

// follow opens the folder, applies it, and follows it until the returned function is called.
func (f *fixture) follow() (stop func()) {
	f.t.Helper()
	opened, err := folder.Open(f.dir, f.store.Tasks, f.tasks, zerolog.New(f.log))
	f.check(err)
	f.check(opened.Apply(f.t.Context()))
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); opened.Follow(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
		f.check(opened.Close())
	})
	f.t.Cleanup(stop)
	return stop
}

// await waits until the view shows what is wanted: "title" of an enabled task, "-" of a disabled one.
func (f *fixture) await(id task.ID, want string) {
	f.t.Helper()
	bustest.AwaitView(f.t, f.tasks, want, func() bool {
		t, ok := f.tasks.Get(id)
		return ok && (t.Enabled && t.Name == want || !t.Enabled && want == "-")
	})
}

// awaitLog waits until a text was logged so many times.
func (f *fixture) awaitLog(text string, times int) {
	f.t.Helper()
	proctest.Until(f.t, func() error {
		if said := f.log.String(); strings.Count(said, text) < times {
			return fmt.Errorf("%q was not logged %d times:\n%s", text, times, said)
		}
		return nil
	})
}

func TestFollow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b, c := task.NewID(), task.NewID(), task.NewID()
	f.write("a.yaml", a, "A")
	f.write("b.yml", b, "B")
	stop := f.follow()
	f.await(a, "A")
	f.await(b, "B")

	f.write("a.yaml", a, "A2")
	f.await(a, "A2")
	f.write("c.yaml", c, "C")
	f.await(c, "C")

	// An editor that writes beside and renames.
	f.write(".a.new", a, "A3")
	f.check(os.Rename(filepath.Join(f.dir, ".a.new"), filepath.Join(f.dir, "a.yaml")))
	f.await(a, "A3")

	f.check(os.Remove(filepath.Join(f.dir, "b.yml")))
	f.await(b, "-")
	f.write("b.yml", b, "B") // the same file again
	f.await(b, "B")

	// The folder is replaced as a whole.
	f.check(os.Rename(f.dir, f.dir+".old"))
	f.check(os.Mkdir(f.dir, 0o755))
	f.write("a.yaml", a, "A4")
	f.await(a, "A4")
	f.await(b, "-")
	f.write("a.yaml", a, "A5")
	f.await(a, "A5")
	stop()

	// What changed while nobody looked.
	f.check(os.Remove(filepath.Join(f.dir, "a.yaml")))
	f.write("c.yaml", c, "C2")
	f.follow()
	f.await(a, "-")
	f.await(c, "C2")
}

func TestBrokenFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b, c := task.NewID(), task.NewID(), task.NewID()
	f.write("a.yaml", a, "A")
	f.write("b.yaml", b, "B")
	f.follow()
	f.await(a, "A")
	f.await(b, "B")

	// The broken file's task stays, and so does that of a file that is gone: it may be the broken one.
	f.check(os.WriteFile(filepath.Join(f.dir, "a.yaml"), []byte("nmae: A\n"), 0o644))
	f.check(os.Remove(filepath.Join(f.dir, "b.yaml")))
	f.write("c.yaml", c, "C")
	f.await(c, "C")
	f.write("c.yaml", c, "C2")
	f.await(c, "C2")
	for id, want := range map[task.ID]string{a: "A", b: "B"} {
		if now, _ := f.tasks.Get(id); !now.Enabled || now.Name != want {
			t.Errorf("%s is %+v", want, now)
		}
	}
	if n := strings.Count(f.log.String(), "unknown field"); n != 1 {
		t.Errorf("the fault was logged %d times:\n%s", n, f.log.String())
	}

	f.write("a.yaml", a, "A2")
	f.await(a, "A2")
	f.await(b, "-")

	// Two files of one task: neither is used, and both are named.
	f.write("twin.yaml", a, "Twin")
	f.write("c.yaml", c, "C3")
	f.await(c, "C3")
	if now, _ := f.tasks.Get(a); now.Name != "A2" {
		t.Errorf("one of two twins was used: %s", now.Name)
	}
	if strings.Count(f.log.String(), "a.yaml and ") != 1 {
		t.Errorf("the twins are not named:\n%s", f.log.String())
	}
}

// A task that was applied by other means is not the folder's to disable.
func TestOtherTasksStay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, other := task.NewID(), task.NewID()
	def, err := taskfile.Parse(fmt.Appendf(nil, "id: %s\nname: Other\nsource: {csv: {connection: a, path: b.csv}}\nmapping: {id: id}\ndestination: {csv: {connection: a, path: c.csv, action: replace}}\n", other), "other")
	f.check(err)
	_, err = f.store.Tasks.Apply(t.Context(), def, false)
	f.check(err)
	f.await(other, "Other")
	f.write("a.yaml", a, "A")
	f.follow()
	f.await(a, "A")
	f.check(os.Remove(filepath.Join(f.dir, "a.yaml")))
	f.await(a, "-")
	if now, _ := f.tasks.Get(other); !now.Enabled {
		t.Error("a task that did not come from the folder was disabled")
	}
}

// A file that has an id of a task which is not the folder's is not used, and says so where it is looked for.
func TestClashes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b, c, other, taken := task.NewID(), task.NewID(), task.NewID(), task.NewID(), task.NewID()
	webhook := func(name string, id task.ID, title string, webhook task.ID) string {
		text := fmt.Sprintf("id: %s\nname: %s\nwebhook: {id: %s}\nsource: {csv: {connection: a, path: b.csv}}\nmapping: {id: id}\ndestination: {csv: {connection: a, path: c.csv, action: replace}}\n", id, title, webhook)
		if name != "" {
			f.check(os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o644))
		}
		return text
	}
	def, err := taskfile.Parse([]byte(webhook("", other, "Other", taken)), "other")
	f.check(err)
	_, err = f.store.Tasks.Apply(t.Context(), def, false)
	f.check(err)
	f.await(other, "Other")
	webhook("a.yaml", a, "A", taken)
	f.write("b.yaml", b, "B")
	opened, err := folder.Open(f.dir, f.store.Tasks, f.tasks, zerolog.New(f.log))
	f.check(err)
	t.Cleanup(func() { f.check(opened.Close()) })
	apply := func() { t.Helper(); f.check(opened.Apply(t.Context())) }
	apply()
	f.await(b, "B")
	f.check(os.Remove(filepath.Join(f.dir, "a.yaml")))
	f.write("taken.yaml", taken, "Taken")
	apply()
	for _, id := range []task.ID{a, taken} {
		if now, there := f.tasks.Get(id); there {
			t.Errorf("%s is used", now.Name)
		}
	}
	if of, _ := f.tasks.Of(taken); of.ID != other {
		t.Errorf("the webhook leads to %s", of.Name)
	}
	log := f.log.String()
	for _, file := range []string{"a.yaml", "taken.yaml"} {
		if !strings.Contains(log, file+` is not used: its id, or its webhook's, is one of the task \"Other\" too, which did not come from this folder`) {
			t.Errorf("%s is not named:\n%s", file, log)
		}
	}
	if strings.Contains(log, string(taken)) || strings.Contains(log, string(a)) {
		t.Errorf("the log shows an id:\n%s", log)
	}
	f.check(os.Remove(filepath.Join(f.dir, "taken.yaml")))

	// A file that comes to clash leaves its task as it was, and does not keep those from ending whose files are gone.
	webhook("b.yaml", b, "B2", taken)
	apply()
	if now, _ := f.tasks.Get(b); now.Name != "B" || !now.Enabled || !strings.Contains(opened.Fault(b), "b.yaml is not used: its id") {
		t.Errorf("%s, %q", now.Name, opened.Fault(b))
	}
	f.write("b.yaml", b, "B")
	apply()
	if fault := opened.Fault(b); fault != "" {
		t.Error(fault)
	}

	// Two files of the folder may exchange their ids at once.
	x, y := task.NewID(), task.NewID()
	webhook("b.yaml", b, "B", x)
	webhook("c.yaml", c, "C", y)
	apply()
	webhook("b.yaml", b, "B", y)
	webhook("c.yaml", c, "C", x)
	apply()
	if of, _ := f.tasks.Of(x); of.ID != c {
		t.Errorf("it leads to %s", of.Name)
	}

	// What a task has whose file is gone is free once that is deleted.
	f.check(os.Remove(filepath.Join(f.dir, "c.yaml")))
	webhook("a.yaml", a, "A", x)
	apply()
	f.await(c, "-")
	if _, there := f.tasks.Get(a); there || !strings.Contains(f.log.String(), `one of the task \"C\" too, whose file is gone`) {
		t.Errorf("%v\n%s", there, f.log)
	}
	gone, _ := f.tasks.Get(c)
	_, err = f.store.Tasks.Delete(t.Context(), gone)
	f.check(err)
	bustest.AwaitView(t, f.tasks, "the deletion", func() bool { _, there := f.tasks.Get(c); return !there })
	apply()
	f.await(a, "A")
}

// The store is away while a file changes; what was not applied is applied once it is back.
func TestStoreIsAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := task.NewID()
	f.write("a.yaml", a, "A")
	f.follow()
	f.await(a, "A")
	listen := f.store.Broker.Addr().String()
	f.store.Broker.Stop()
	f.write("a.yaml", a, "A2")
	f.awaitLog("was not applied whole", 1)
	f.store.Start(listen)
	f.awaitLog("task applied from the folder", 2)
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	file := filepath.Join(f.dir, "file")
	f.check(os.WriteFile(file, nil, 0o644))
	for dir, says := range map[string]string{filepath.Join(f.dir, "none"): "there is no such folder", file: "is a file"} {
		if _, err := folder.Open(dir, f.store.Tasks, f.tasks, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	opened, err := folder.Open(f.dir, f.store.Tasks, f.tasks, zerolog.Nop())
	f.check(err)
	f.check(opened.Close())
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	opened.Follow(ended)
}
