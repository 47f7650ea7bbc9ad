package main

type taskCommand struct {
	New      taskNewCommand      `cmd:"" help:"Make a task file, from a CSV file, a table or an IQA, or to fill in."`
	Validate taskValidateCommand `cmd:"" help:"Check task files alone, without what they name."`
	Check    taskCheckCommand    `cmd:"" help:"Check tasks against what they name: connections, source, parameters, columns, destination."`
	Preview  taskPreviewCommand  `cmd:"" help:"Show the first rows that a task file would write, and write nothing."`
	Apply    taskApplyCommand    `cmd:"" help:"Make task files the server's tasks."`
	Enable   taskEnableCommand   `cmd:"" help:"Let a task take new runs again."`
	Disable  taskDisableCommand  `cmd:"" help:"Refuse new runs of a task; those already accepted finish."`
	Rotate   taskRotateCommand   `cmd:"" help:"Give a task a new id, and let the present one work on for a while."`
	Delete   taskDeleteCommand   `cmd:"" help:"Take a task away; its runs still answer."`
	List     taskListCommand     `cmd:"" help:"List the server's tasks."`
	Show     taskShowCommand     `cmd:"" help:"Show one task: its webhooks, parameters and file."`
	Fields   taskFieldsCommand   `cmd:"" help:"Explain every field of a task file."`
	Schema   taskSchemaCommand   `cmd:"" help:"Print the JSON Schema of a task file, for editors."`
}
