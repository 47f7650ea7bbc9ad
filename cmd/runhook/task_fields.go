package main

import "runhook/shared/taskfile"

type taskFieldsCommand struct{}

// Run prints the page.
func (taskFieldsCommand) Run(p *program) error {
	_, err := p.stdout.Write(taskfile.Reference())
	return err
}
