package folder

import (
	"cmp"
	"fmt"

	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// clash is why a file is not used that has an id of a task which is not in the folder: which of the two a caller means
// could not be told. It names no id, for the log is not to show one.
type clash struct {
	// id is the task's that the file would define.
	id         task.ID
	file, with string
	gone       bool
}

func (c *clash) Error() string {
	way := "which did not come from this folder; give one of the two another, as `runhook task new` makes it"
	if c.gone {
		way = fmt.Sprintf("whose file is gone; delete that task with `runhook task delete %q`, or give this one another id", c.with)
	}
	return fmt.Sprintf("%s is not used: its id, or its webhook's, is one of the task %q too, %s", c.file, c.with, way)
}

// withoutClashes leaves out the definitions that have an id of a task which none of them defines.
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
		faults = append(faults, &clash{id: def.ID, file: cmp.Or(file, "a file of the task "+def.Name), with: with.Name, gone: with.FromFolder})
	}
	return usable, faults
}
