// Package folder keeps the tasks of a store what a folder of task files says, while `serve --tasks`
// runs.
package folder

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/rs/zerolog"

	"runhook/shared/audit"
	"runhook/shared/bus"
	"runhook/shared/plainfile"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

const (
	// settle is how long a folder must be quiet before it is read: editors write in several steps.
	settle = 100 * time.Millisecond
	// unrest is how long that is waited for at most, so that a change is seen within a second.
	unrest = 400 * time.Millisecond
	// reread is how often the folder is read anyway: not every file system reports changes.
	reread = 30 * time.Second
	// seeLimit bounds the wait until this process sees what it has applied.
	seeLimit = 5 * time.Second
	// longest bounds what is read of a file in which a task's id is looked for.
	longest = 1 << 20
	// retry is the pause before what the store did not take is applied again.
	retry = time.Second
)

// Folder is a folder of task files that is followed.
type Folder struct {
	dir     string
	store   *bus.Tasks
	tasks   *bus.TaskView
	log     zerolog.Logger
	audit   audit.Keeper
	watcher *fsnotify.Watcher

	// mu lets the folder be applied or edited by one at a time.
	mu sync.Mutex
	// applied is the definition of each task that was last applied from its file.
	applied map[task.ID]string
	// awaited are those of them that the view has not shown yet.
	awaited map[task.ID]string
	// removed are the tasks whose files are known to be gone.
	removed map[task.ID]bool
	// reported are the faults that were logged and still stand.
	reported map[string]bool
	// faults are those by which files of tasks are not used.
	faults atomic.Pointer[map[task.ID]string]
}

// Open begins to watch a folder. One that does not exist is an error: taken for an empty one, it
// would disable every task that came from it.
func Open(dir string, store *bus.Tasks, tasks *bus.TaskView, log zerolog.Logger) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("--tasks: %w", err)
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("--tasks %s: there is no such folder; make it, or correct the path", dir)
	case err != nil:
		return nil, fmt.Errorf("--tasks: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("--tasks %s is a file; give the folder that it is in, or use `runhook task apply`", dir)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("follow the folder of task files: %w", err)
	}
	// The folder above tells when this one is replaced as a whole.
	if err := errors.Join(watcher.Add(dir), watcher.Add(filepath.Dir(dir))); err != nil {
		_ = watcher.Close()
		return nil, fmt.Errorf("--tasks %s cannot be followed: %w", dir, err)
	}
	return &Folder{
		dir: dir, store: store, tasks: tasks, log: log, watcher: watcher,
		applied: map[task.ID]string{}, awaited: map[task.ID]string{}, removed: map[task.ID]bool{}, reported: map[string]bool{},
	}, nil
}

// Audit has lines of the audit kept about what the folder changes, from then on.
func (f *Folder) Audit(keeper audit.Keeper) { f.audit = keeper }

// byFolder is who changes tasks by their files.
const byFolder = "folder"

// Close stops watching, and Follow with it.
func (f *Folder) Close() error { return f.watcher.Close() }

// Apply applies the folder once: good files are applied, broken ones are logged and leave their
// tasks as they were, and tasks whose files are gone are disabled. When it returns, the view of
// the tasks shows it. Its error is the store's; what was not applied is applied by the next call.
func (f *Folder) Apply(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.apply(ctx)
}

func (f *Folder) apply(ctx context.Context) error {
	defs, faults := taskfile.ReadDir(f.dir)
	usable, clashes := f.withoutClashes(defs)
	usable, passed := f.withoutPassed(usable)
	usable, unending := f.withoutWrongChains(usable)
	all := slices.Concat(separate(faults), clashes, passed, unending)
	f.report(all)
	f.outdate(all)
	var failed []error
	present := map[task.ID]bool{}
	for _, def := range defs {
		present[def.ID] = true
		delete(f.removed, def.ID)
	}
	for _, def := range usable {
		if f.applied[def.ID] == def.Hash {
			continue
		}
		changed, err := f.store.Apply(ctx, def, true)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		f.applied[def.ID], f.awaited[def.ID] = def.Hash, def.Hash
		for _, former := range def.FormerIDs {
			delete(f.applied, former.ID) // if it comes back, it is applied anew
		}
		if changed {
			f.log.Info().Str("task", def.Name).Str("definition", def.Hash).Msg("task applied from the folder")
			f.audit.Keep(ctx, audit.Line{On: time.Now().UTC(), By: byFolder, What: audit.TaskApply, TaskID: def.ID, Task: def.Name, After: def.Hash})
		}
	}
	// A file that cannot be read may be any task's, so nothing is taken for gone.
	if faults == nil {
		failed = append(failed, f.remove(ctx, present)...)
	}
	f.awaitSeen(ctx)
	clear(f.awaited) // once waited for is enough
	return errors.Join(failed...)
}

// withoutPassed leaves out the definitions with a moment in their schedules that has passed, and was not there before.
func (f *Folder) withoutPassed(defs []*task.Definition) (usable []*task.Definition, passed []error) {
	for _, def := range defs {
		if f.applied[def.ID] != def.Hash {
			now, _ := f.tasks.Get(def.ID)
			if taskfile.CheckMoments(def, now.Definition, "", time.Now()) != nil {
				file, _, _ := taskfile.FindFile(f.dir, def.ID) // it may have changed since it was read
				passed = append(passed, taskfile.CheckMoments(def, now.Definition, cmp.Or(file, "a file of the task "+def.Name), time.Now()))
				continue
			}
		}
		usable = append(usable, def)
	}
	return usable, passed
}

// withoutWrongChains leaves out the definitions that start tasks which are not there, or themselves in the end.
func (f *Folder) withoutWrongChains(defs []*task.Definition) (usable []*task.Definition, wrong []error) {
	usable = defs
	for before := -1; before != len(usable); { // one that is left out may be the task that another one starts
		before = len(usable)
		others := f.beside(usable)
		usable = slices.DeleteFunc(slices.Clone(usable), func(def *task.Definition) bool {
			if f.applied[def.ID] == def.Hash || taskfile.CheckThen(def, others, "") == nil {
				return false
			}
			file, _, _ := taskfile.FindFile(f.dir, def.ID) // it may have changed since it was read
			wrong = append(wrong, taskfile.CheckThen(def, others, cmp.Or(file, "a file of the task "+def.Name)))
			return true
		})
	}
	return usable, wrong
}

// beside are the definitions of all tasks that there will be once some are applied.
func (f *Folder) beside(defs []*task.Definition) []*task.Definition {
	all, files := slices.Clone(defs), map[task.ID]bool{}
	for _, def := range defs {
		files[def.ID] = true
	}
	for _, def := range f.tasks.Definitions() {
		if !files[def.ID] {
			all = append(all, def)
		}
	}
	return all
}

// awaitSeen waits until the view has what was applied; not for ever, for somebody else may have
// applied another definition since.
func (f *Folder) awaitSeen(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, seeLimit)
	defer cancel()
	for {
		changed := f.tasks.Changed()
		if f.seen() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (f *Folder) seen() bool {
	for id, hash := range f.awaited {
		if f.tasks.Shows(id, hash) {
			delete(f.awaited, id)
		}
	}
	return len(f.awaited) == 0
}

// remove disables the tasks that came from the folder and are not in it any more.
func (f *Folder) remove(ctx context.Context, present map[task.ID]bool) (failed []error) {
	known := map[task.ID]bool{}
	for id := range f.applied {
		known[id] = true
	}
	for _, t := range f.tasks.All() {
		if t.FromFolder {
			known[t.ID] = true
		}
	}
	for id := range known {
		if present[id] || f.removed[id] {
			continue
		}
		changed, err := f.store.Remove(ctx, id)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		f.removed[id] = true
		delete(f.applied, id)
		if changed {
			f.log.Info().Str("task", f.name(id)).Msg("task disabled: its file is gone from the folder")
			f.audit.Keep(ctx, audit.Line{On: time.Now().UTC(), By: byFolder, What: audit.TaskDisable, TaskID: id, Task: f.name(id), Detail: "its file is gone"})
		}
	}
	return failed
}

// name is how a log line calls a task: its GUID lets somebody start it.
func (f *Folder) name(id task.ID) string {
	if t, ok := f.tasks.Get(id); ok {
		return t.Name
	}
	return string(id)
}

// report logs each fault of the files once, until it is mended.
func (f *Folder) report(faults []error) {
	standing := map[string]bool{}
	for _, fault := range faults {
		text := fault.Error()
		standing[text] = true
		if f.reported[text] {
			continue
		}
		invalid, ok := errors.AsType[*taskfile.Invalid](fault)
		if !ok {
			f.log.Error().Err(fault).Msg("the folder of task files has a fault")
			continue
		}
		for _, problem := range invalid.Problems {
			f.log.Error().Str("file", problem.File).Int("line", problem.Line).Msg("a task file is not used: " + problem.Message)
		}
	}
	f.reported = standing
}

// Fault is why the file of a task is not used, so that the task is as it was before; "" if its file is used, or gone.
func (f *Folder) Fault(id task.ID) string {
	if faults := f.faults.Load(); faults != nil {
		return (*faults)[id]
	}
	return ""
}

// outdate takes note of the tasks whose ids are in files that have faults.
func (f *Folder) outdate(of []error) {
	faults := map[task.ID]string{}
	for _, fault := range of {
		var text []byte
		var ids []task.ID
		if invalid, ok := errors.AsType[*taskfile.Invalid](fault); ok {
			text = bytes.ToLower(f.text(invalid.Problems[0].File))
		}
		if contrary, ok := errors.AsType[*taskfile.Contrary](fault); ok {
			ids = contrary.IDs
		}
		for _, t := range f.tasks.All() {
			if t.FromFolder && (slices.Contains(ids, t.ID) || bytes.Contains(text, []byte(t.ID))) {
				faults[t.ID] = fault.Error()
			}
		}
	}
	f.faults.Store(&faults)
}

// text is that of a file of the folder, nil of one that cannot be read: it has no task.
func (f *Folder) text(file string) []byte {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	opened, _, err := plainfile.OpenIn(root, filepath.Base(file), os.O_RDONLY)
	if err != nil {
		return nil
	}
	defer opened.Close()
	text, _ := io.ReadAll(io.LimitReader(opened, longest))
	return text
}

// separate returns the errors that errors.Join joined.
func separate(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// Follow applies the folder whenever it changes, until ctx ends or the folder is closed.
func (f *Folder) Follow(ctx context.Context) {
	next, early := time.NewTimer(reread), time.Time{}
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case event, open := <-f.watcher.Events:
			if !open {
				return
			}
			if !f.concerns(event) {
				continue
			}
		case err, open := <-f.watcher.Errors:
			if !open {
				return
			}
			f.log.Warn().Err(err).Msg("changes of the folder of task files may have been missed; reading it again")
		case <-next.C:
			early = time.Time{}
			next.Reset(f.applyLogged(ctx))
			continue
		}
		if early.IsZero() {
			early = time.Now()
		}
		next.Reset(min(settle, unrest-time.Since(early)))
	}
}

// applyLogged applies the folder and returns when to do so again at the latest.
func (f *Folder) applyLogged(ctx context.Context) time.Duration {
	err := f.Apply(ctx)
	if err == nil || ctx.Err() != nil {
		return reread
	}
	f.log.Warn().Err(err).Msg("the folder of task files was not applied whole; trying again")
	return retry
}

// concerns reports whether an event is the folder's, and watches a folder that has come back.
func (f *Folder) concerns(event fsnotify.Event) bool {
	if event.Name == f.dir {
		if event.Has(fsnotify.Create) {
			if err := f.watcher.Add(f.dir); err != nil {
				f.log.Warn().Err(err).Msg("the folder of task files has come back and cannot be followed; it is read every 30 s")
			}
		}
		return true
	}
	return filepath.Dir(event.Name) == f.dir && event.Op != fsnotify.Chmod
}
