package main

type connectionsCommand struct {
	List   connectionsListCommand   `cmd:"" help:"List the connections that tasks use, and which are paused."`
	Pause  connectionsPauseCommand  `cmd:"" help:"Let the runs that use a connection wait, while its site or database is down."`
	Resume connectionsResumeCommand `cmd:"" help:"Let runs use a connection again."`
}

// ConnectionArg names a connection on the server.
type ConnectionArg struct {
	ServerFlags
	Name string `arg:"" name:"connection" help:"The connection, as tasks name it."`
}
