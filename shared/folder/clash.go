package folder

import (
	"cmp"
	"fmt"

	"runhook/shared/bus"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// withoutClashes leaves out the definitions that have an id of a task which none of them defines: which of the two a
// caller means could not be told.
func (f *Folder) withoutClashes(defs []*task.Definition) (usable []*task.Definition, faults []error) {
	present := map[task.ID]bool{}
	for _, def := range defs {
		present[def.ID] = true
	}
	for _, def := range defs {
		_, with, clashes := f.tasks.Clash(def, func(id task.ID) bool { return present[id] })
		if !clashes {
			usable = append(usable, def)
			continue
		}
		file, _, _ := taskfile.FindFile(f.dir, def.ID) // it may have changed since it was read
		faults = append(faults, clash(cmp.Or(file, "a file of the task "+def.Name), def.ID, with))
	}
	return usable, faults
}

// clash is the fault of a file with an id of a task.
func clash(file string, id task.ID, with bus.Task) error {
	way := "which did not come from this folder; give one of the two another, as `runhook task new` makes it"
	if with.FromFolder {
		way = fmt.Sprintf("whose file is gone; delete that task with `runhook task delete %q`, or give this one another id", with.Name)
	}
	return &taskfile.Contrary{IDs: []task.ID{id}, Message: fmt.Sprintf("%s is not used: its id, or its webhook's, is one of the task %q too, %s", file, with.Name, way)}
}
