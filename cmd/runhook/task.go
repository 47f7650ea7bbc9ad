package main

type taskCommand struct {
	New      taskNewCommand      `cmd:"" help:"Make a task file from a CSV file, a table or an IQA, or one to fill in."`
	Validate taskValidateCommand `cmd:"" help:"Check task files alone, without their sources and destinations."`
	Check    taskCheckCommand    `cmd:"" help:"Check tasks against their connections, source, parameters, columns and destination."`
	Preview  taskPreviewCommand  `cmd:"" help:"Show the first rows that a task would write; write nothing."`
	Apply    taskApplyCommand    `cmd:"" help:"Send task files to the server."`
	Enable   taskEnableCommand   `cmd:"" help:"Accept new runs of a task again."`
	Disable  taskDisableCommand  `cmd:"" help:"Refuse new runs of a task; accepted runs finish."`
	Rotate   taskRotateCommand   `cmd:"" help:"Give a webhook a new GUID; the current one starts runs for 30 more days."`
	Since    taskSinceCommand    `cmd:"" help:"Show or set how far a task that reads incrementally has read."`
	Delete   taskDeleteCommand   `cmd:"" help:"Delete a task; its runs stay readable."`
	List     taskListCommand     `cmd:"" help:"List the server's tasks."`
	Show     taskShowCommand     `cmd:"" help:"Show one task: its webhooks, parameters and file."`
	Fields   taskFieldsCommand   `cmd:"" help:"Explain every field of a task file."`
	Schema   taskSchemaCommand   `cmd:"" help:"Print the JSON Schema of a task file, for editors."`
}
