package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/task"
)

// TaskView is a process's in-memory view of the task bucket, kept current by a watch. It goes on
// answering from what it has while NATS is away.
type TaskView struct {
	mu      sync.RWMutex
	tasks   map[task.ID]Task
	loaded  bool
	changed chan struct{} // closed and replaced at every change
}

// WatchTasks starts a view that follows the bucket until ctx ends. It returns once the bucket's
// present content is loaded, or with an error. done is closed when the view has stopped.
func (b *Bus) WatchTasks(ctx context.Context) (view *TaskView, done <-chan struct{}, err error) {
	watcher, err := b.watchTasks(ctx)
	if err != nil {
		return nil, nil, err
	}
	view = &TaskView{tasks: map[task.ID]Task{}, changed: make(chan struct{})}
	loaded, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		reconnected := b.nc.StatusChanged(nats.CONNECTED)
		defer b.nc.RemoveStatusListener(reconnected)
		for watcher != nil {
			b.follow(ctx, watcher, view, loaded, reconnected)
			_ = watcher.Stop() // it may have ended with its connection; an error says nothing new
			watcher = b.watchAgain(ctx)
		}
	}()
	select {
	case <-loaded:
		return view, stopped, nil
	case <-stopped:
		return nil, nil, fmt.Errorf("watch the tasks: %w", ErrUnavailable)
	}
}

// watchTasks watches the keys of one token: definitions have two, so it sees the tasks themselves.
func (b *Bus) watchTasks(ctx context.Context) (jetstream.KeyWatcher, error) {
	watcher, err := b.tasks.Watch(ctx, "*")
	if err != nil {
		return nil, fmt.Errorf("watch the tasks: %w", explain(err))
	}
	return watcher, nil
}

// watchAgain watches until it succeeds; nil when ctx ends first.
func (b *Bus) watchAgain(ctx context.Context) jetstream.KeyWatcher {
	for ctx.Err() == nil {
		if watcher, err := b.watchTasks(ctx); err == nil {
			return watcher
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

// follow takes one watch's changes into the view, until ctx ends or the watch does. A new connection
// ends it too: the library notices only after missed heartbeats that a watch has not survived, and
// until then changes would go unseen. loaded is closed by the first watch that was read whole.
func (b *Bus) follow(ctx context.Context, watcher jetstream.KeyWatcher, view *TaskView, loaded chan struct{}, reconnected <-chan nats.Status) {
	seen := map[task.ID]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-reconnected:
			return
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return
			case entry != nil:
				seen[task.ID(entry.Key())] = true
				b.note(view, entry)
			default: // all that was there when the watch began has been read
				view.keep(seen)
				select {
				case <-loaded:
				default:
					close(loaded)
				}
			}
		}
	}
}

// Get returns a task by id.
func (v *TaskView) Get(id task.ID) (Task, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	found, ok := v.tasks[id]
	return found, ok
}

// All returns every task, by name.
func (v *TaskView) All() []Task {
	v.mu.RLock()
	defer v.mu.RUnlock()
	all := make([]Task, 0, len(v.tasks))
	for _, t := range v.tasks {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b Task) int {
		return strings.Compare(a.Name+"\x00"+string(a.ID), b.Name+"\x00"+string(b.ID))
	})
	return all
}

// Loaded reports whether the view has ever had the bucket's whole content.
func (v *TaskView) Loaded() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.loaded
}

// Changed returns a channel that is closed at the next change. Take it before reading the view.
func (v *TaskView) Changed() <-chan struct{} {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.changed
}

// keep forgets the tasks that a whole reading of the bucket did not show, and marks the view loaded.
func (v *TaskView) keep(seen map[task.ID]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.loaded = true
	maps.DeleteFunc(v.tasks, func(id task.ID, _ Task) bool { return !seen[id] })
	close(v.changed)
	v.changed = make(chan struct{})
}

// note takes one change of the bucket into the view. A record that cannot be read leaves the task
// as it was known: one bad record must not take a working task away.
func (b *Bus) note(view *TaskView, entry jetstream.KeyValueEntry) {
	id := task.ID(entry.Key())
	var changed Task
	if entry.Operation() == jetstream.KeyValuePut {
		var value stored
		err := json.Unmarshal(entry.Value(), &value)
		if err == nil {
			changed, err = value.task(entry.Revision())
		}
		if err != nil {
			b.log.Error().Err(err).Str("task", string(id)).Msg("a stored task cannot be read; apply its file again")
			return
		}
	}
	view.mu.Lock()
	defer view.mu.Unlock()
	if changed.Definition == nil {
		delete(view.tasks, id)
	} else {
		view.tasks[id] = changed
	}
	close(view.changed)
	view.changed = make(chan struct{})
}
