package main

type taskValidateCommand struct {
	Files []string `arg:"" name:"file" help:"Task files, or folders of them."`
}

// Run checks the files and says of each what it is.
func (c *taskValidateCommand) Run(p *program) error {
	defs, err := readTasks(c.Files)
	for _, def := range defs {
		p.printf("%s (%s) is valid\n", def.Name, def.ID)
		p.printf("  note: %s\n", def.Interruption())
	}
	return err
}
