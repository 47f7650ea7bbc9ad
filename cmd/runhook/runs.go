package main

type runsCommand struct {
	List runsListCommand `cmd:"" help:"List the newest runs."`
	Show runsShowCommand `cmd:"" help:"Show a run's progress or result."`

	Cancel   runsCancelCommand   `cmd:"" help:"Cancel runs that no runner has."`
	Rejected runsRejectedCommand `cmd:"" help:"Download the failed rows, with the reasons."`
}
