package main

import (
	"strings"
	"time"

	"runhook/shared/taskfile"
)

type taskValidateCommand struct {
	Files []string `arg:"" name:"file" help:"Task files, or folders of them."`
}

// Run checks the files and says of each what it is.
func (c *taskValidateCommand) Run(p *program) error {
	defs, err := readTasks(c.Files)
	for _, def := range defs {
		p.printf("%s (%s) is valid\n", def.Name, def.ID)
		p.printf("  note: %s\n", def.Interruption())
		if err := taskfile.CheckMoments(def, nil, def.Name, time.Now()); err != nil {
			p.printf("  note: %v. A file with that is not applied, unless the task has it already\n", err)
		}
		if err := taskfile.CheckThen(def, besideIn(fileOf(c.Files, def), defs), def.Name); err != nil {
			p.printf("  note: %v. A file with that is not applied\n", strings.ReplaceAll(err.Error(), "\n", "\n  note: "))
		}
	}
	return err
}
