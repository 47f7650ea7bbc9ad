package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/task"
)

// TaskView is a process's in-memory view of the task bucket, kept current by a watch. It goes on
// answering from what it has while NATS is away. The zero TaskView is not loaded and has no tasks.
type TaskView struct {
	mu sync.RWMutex
	// tasks are those that callers see; records are all, ended ones too.
	tasks   map[task.ID]Task
	records map[task.ID]known
	// webhooks are the tasks whose webhooks have, or had, an id. There is one, unless two files contradict
	// each other; then it is the first.
	webhooks map[task.ID][]task.ID
	loaded   bool
	changed  chan struct{} // closed and replaced at every change
}

// known is a task's record as the view keeps it.
type known struct {
	Task
	successor task.ID
	retired   bool
}

// Watch starts a view that follows the bucket until ctx ends. It returns once the bucket's
// present content is loaded, or with an error. done is closed when the view has stopped.
func (s *Tasks) Watch(ctx context.Context) (view *TaskView, done <-chan struct{}, err error) {
	view = &TaskView{tasks: map[task.ID]Task{}, records: map[task.ID]known{}, webhooks: map[task.ID][]task.ID{}, changed: make(chan struct{})}
	var seen map[task.ID]bool
	f := following{
		stream: s.store.Definitions, subject: jet.TaskRecords, woken: func() <-chan struct{} { return s.store.TasksChanged },
		begun: func() { seen = map[task.ID]bool{} },
		note: func(record jet.Record) {
			seen[task.ID(jet.TaskKey(record.Subject))] = true
			s.note(view, record)
		},
		whole: func() { view.keep(seen) },
	}
	reconnected := s.store.NC.StatusChanged(nats.CONNECTED)
	if err := f.readAll(ctx); err != nil {
		s.store.NC.RemoveStatusListener(reconnected)
		return nil, nil, fmt.Errorf("watch the tasks: %w", err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		defer s.store.NC.RemoveStatusListener(reconnected)
		f.follow(ctx, reconnected, f.readOn)
	}()
	return view, stopped, nil
}

// Get returns the task that has the id now.
func (v *TaskView) Get(id task.ID) (Task, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	found, ok := v.tasks[id]
	return found, ok
}

// Of returns the task that an id leads to: the one that has the id, the one whose webhook has or had it, the
// one that has taken its place, whose ID is another then, or a deleted one.
func (v *TaskView) Of(id task.ID) (Task, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if owners := v.webhooks[id]; len(owners) > 0 && v.records[id].Definition == nil {
		id = owners[0]
	}
	for range maxRotations {
		record, ok := v.records[id]
		if !ok {
			break
		}
		if record.successor == "" {
			return record.Task, true
		}
		id = record.successor
	}
	return Task{}, false
}

// Clash returns an id of a definition, its own or one of its webhook, that another task has, but for those that
// passed over names; nil names none. Of deleted tasks the ids are free.
func (v *TaskView) Clash(def *task.Definition, passedOver func(task.ID) bool) (id task.ID, with Task, clashes bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, id := range append(def.WebhookIDs(), def.ID) {
		for _, owner := range append(slices.Clone(v.webhooks[id]), id) {
			if with, there := v.tasks[owner]; there && owner != def.ID && (passedOver == nil || !passedOver(owner)) {
				return id, with, true
			}
		}
	}
	return "", Task{}, false
}

// Named is Of for an id as text, from the path of a request. id is empty for what is no GUID, and found
// has no Definition where no task ever had the id. Neither aliases text.
func (v *TaskView) Named(text string) (id task.ID, found Task) {
	// Most callers use the canonical form, which needs no parsing.
	if found, ok := v.Get(task.ID(text)); ok {
		return found.ID, found
	}
	id, err := task.ParseID(text)
	if err != nil {
		return "", Task{}
	}
	found, _ = v.Of(id)
	return id, found
}

// Shows reports whether the task of an id has the definition of a hash, and all that comes with it:
// the former ids that it lists lead to it.
func (v *TaskView) Shows(id task.ID, hash string) bool {
	now, ok := v.Get(id)
	return ok && now.Hash == hash && !slices.ContainsFunc(now.FormerIDs, func(former task.FormerID) bool {
		of, ok := v.Of(former.ID)
		return !ok || of.ID != id
	})
}

// IDs returns the id and all that were rotated to it: those under which the task's runs are stored.
func (v *TaskView) IDs(id task.ID) []task.ID {
	v.mu.RLock()
	former := slices.Collect(maps.Keys(v.records))
	v.mu.RUnlock()
	ids := []task.ID{id}
	for _, other := range former {
		if current, ok := v.Of(other); ok && current.Definition != nil && current.ID == id && other != id {
			ids = append(ids, other)
		}
	}
	return ids
}

// TaskQueue is a queue of requests that runners pull from.
type TaskQueue struct {
	Task task.ID
	// Pool is which runners may take the requests.
	Pool string
	// Connections are those that the task uses now.
	Connections []string
	// Concurrency is how many requests may be under way at once.
	Concurrency int
	// Overlap is empty for task.QueueOverlap.
	Overlap task.Overlap
	// StartWithin is how long a request that is put into it now may wait; 0 for ever.
	StartWithin time.Duration
	// Name is what the task is called, and Keep for how long its runs are kept; 0 for as long as the store keeps runs.
	Name string
	Keep time.Duration
	// After are the queues of the task's former ids: what is in them comes first.
	After []task.ID
	// Ended: no ingress puts requests into it but those that have not heard so yet.
	Ended bool
}

// Queues returns every queue that there is: those of disabled tasks too, because what was accepted
// is run, and those of ended ids until they are retired.
func (v *TaskView) Queues() []TaskQueue {
	v.mu.RLock()
	defer v.mu.RUnlock()
	queues := make([]TaskQueue, 0, len(v.records))
	for id, record := range v.records {
		if record.retired || record.Definition == nil {
			continue
		}
		queues = append(queues, v.queue(id, record))
	}
	return queues
}

// Queue is that of a task's requests; ok is false where there is none.
func (v *TaskView) Queue(id task.ID) (queue TaskQueue, ok bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	record, ok := v.records[id]
	if !ok || record.retired || record.Definition == nil {
		return TaskQueue{}, false
	}
	return v.queue(id, record), true
}

// queue is that of a record; the caller holds mu.
func (v *TaskView) queue(id task.ID, record known) TaskQueue {
	queue := TaskQueue{
		Task: id, Pool: cmp.Or(record.Pool, task.DefaultPool), Connections: record.Connections(),
		Concurrency: record.Concurrency, Overlap: record.Overlap, StartWithin: record.StartWithin, Name: record.Name, Keep: record.Keep, Ended: record.Deleted || record.successor != "",
	}
	for _, former := range record.FormerIDs {
		if before, ok := v.records[former.ID]; ok && !before.retired && before.Definition != nil {
			queue.After = append(queue.After, former.ID)
		}
	}
	return queue
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

// Definitions are those of every task, in no order.
func (v *TaskView) Definitions() []*task.Definition {
	v.mu.RLock()
	defer v.mu.RUnlock()
	all := make([]*task.Definition, 0, len(v.tasks))
	for _, t := range v.tasks {
		all = append(all, t.Definition)
	}
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
func (s *Tasks) note(view *TaskView, entry jet.Record) {
	id := task.ID(jet.TaskKey(entry.Subject))
	var changed known
	if !entry.Removed() {
		var err error
		if changed, err = read(entry); err != nil {
			s.store.Definitions.PassOver(entry, err)
			return
		}
	}
	view.mu.Lock()
	defer view.mu.Unlock()
	view.index(view.records[id].Definition, false)
	view.index(changed.Definition, true)
	delete(view.tasks, id)
	delete(view.records, id)
	if !entry.Removed() {
		view.records[id] = changed
		if changed.successor == "" && !changed.Deleted {
			view.tasks[id] = changed.Task
		}
	}
	close(view.changed)
	view.changed = make(chan struct{})
}

// index takes the ids of a task's webhook into the view, or out of it.
func (v *TaskView) index(def *task.Definition, there bool) {
	if def == nil || def.Webhook.ID == "" {
		return
	}
	for _, id := range def.WebhookIDs() {
		owners := slices.DeleteFunc(slices.Clone(v.webhooks[id]), func(owner task.ID) bool { return owner == def.ID })
		if there {
			owners = append(owners, def.ID)
			slices.Sort(owners)
		}
		if v.webhooks[id] = owners; len(owners) == 0 {
			delete(v.webhooks, id)
		}
	}
}

// read reads a task's record.
func read(entry jet.Record) (record known, err error) {
	key := jet.TaskKey(entry.Subject)
	if !jet.IsID(key) {
		return known{}, errors.New("the key of a task is its id")
	}
	var value stored
	if err := json.Unmarshal(entry.Data, &value); err != nil {
		return known{}, fmt.Errorf("decode the task; apply its file again: %w", err)
	}
	record.successor, record.retired = value.Successor, value.Retired
	if record.Task, err = value.task(entry.Sequence); err != nil {
		return known{}, fmt.Errorf("read the task; apply its file again: %w", err)
	}
	if record.Definition != nil && string(record.ID) != key {
		return known{}, fmt.Errorf("it is the record of task %s", record.ID)
	}
	return record, nil
}
