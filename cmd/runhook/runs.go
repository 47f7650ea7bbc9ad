package main

type runsCommand struct {
	List  runsListCommand  `cmd:"" help:"List runs, the newest first."`
	Show  runsShowCommand  `cmd:"" help:"Show a run's progress or result, and what it was started with."`
	Watch runsWatchCommand `cmd:"" help:"Follow a run to its end, or the runs of a task."`
	Count runsCountCommand `cmd:"" help:"Count runs by day and task."`
	Again runsAgainCommand `cmd:"" help:"Start a run with the values of another one."`

	Cancel   runsCancelCommand   `cmd:"" help:"Cancel runs, queued or in progress."`
	Delete   runsDeleteCommand   `cmd:"" help:"Erase runs that have ended, with all that belongs to them."`
	Rejected runsRejectedCommand `cmd:"" help:"Download the failed rows, with the reasons."`
}
