package main

type runsCommand struct {
	List runsListCommand `cmd:"" help:"List the newest runs."`
	Show runsShowCommand `cmd:"" help:"Show how a run stands, or how it ended."`

	Rejected runsRejectedCommand `cmd:"" help:"Download the rows that failed, with the reasons."`
}
