package main

import "runhook/shared/task"

type taskFieldsCommand struct{}

// Run prints the page.
func (taskFieldsCommand) Run(p *program) error {
	_, err := p.stdout.Write(task.Reference())
	return err
}
