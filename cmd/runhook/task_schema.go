package main

import "runhook/shared/taskfile"

type taskSchemaCommand struct{}

// Help says how editors use it.
func (*taskSchemaCommand) Help() string {
	return `Editors with the YAML language server (VS Code with the YAML extension, Neovim, JetBrains and others) complete fields and mark mistakes if a task file begins with

    # yaml-language-server: $schema=task.schema.json

Example:

    runhook task schema > tasks/task.schema.json`
}

// Run prints the schema.
func (*taskSchemaCommand) Run(p *program) error {
	schema, err := taskfile.Schema()
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(schema)
	return err
}
