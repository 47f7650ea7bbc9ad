package main

import (
	"encoding/json"
	"io"
	"sync/atomic"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/task"
)

// discreet is where a log goes. Whoever knows a GUID of a task without auth can start it, so above the level debug
// each stands there as the task's name.
type discreet struct {
	out io.Writer
	// tasks are known once a service has loaded them.
	tasks *atomic.Pointer[bus.TaskView]
}

// Write writes a line as it is.
func (d discreet) Write(line []byte) (int, error) { return d.out.Write(line) }

// WriteLevel writes a line of a level.
func (d discreet) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	tasks := d.tasks.Load()
	if level <= zerolog.DebugLevel || tasks == nil {
		return d.out.Write(line)
	}
	if _, err := d.out.Write(nameTasks(line, tasks.Of)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// The lengths of a GUID, with hyphens and without.
const hyphened, bare = 36, 32

// nameTasks is a line of JSON in which the GUIDs of tasks are replaced by their names.
func nameTasks(line []byte, find func(task.ID) (bus.Task, bool)) []byte {
	var out []byte
	done := 0
	for from := 0; from < len(line); {
		to := from
		for to < len(line) && ofGUID[line[to]] {
			to++
		}
		for at := from; at+bare <= to; at++ {
			name, length := nameAt(line[at:to], find)
			if length > 0 {
				out = append(append(out, line[done:at]...), name...)
				done = at + length
				at = done - 1
			}
		}
		from = to + 1
	}
	if out == nil {
		return line
	}
	return append(out, line[done:]...)
}

// nameAt is the name of the task whose GUID text begins with, as a part of a text in JSON, and the GUID's length; 0
// if it begins with none.
func nameAt(text []byte, find func(task.ID) (bus.Task, bool)) (name []byte, length int) {
	for _, length := range []int{hyphened, bare} {
		if len(text) < length {
			continue
		}
		id, err := task.ParseID(string(text[:length]))
		if err != nil {
			continue
		}
		if found, ok := find(id); ok && found.Definition != nil {
			quoted, _ := json.Marshal(found.Name) // a text can be encoded
			return quoted[1 : len(quoted)-1], length
		}
	}
	return nil, 0
}

// ofGUID are the bytes that may stand in a GUID.
var ofGUID = func() (of [256]bool) {
	for _, c := range []byte("0123456789abcdefABCDEF-") {
		of[c] = true
	}
	return of
}()
