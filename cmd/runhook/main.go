// Runhook turns an HTTP POST into a long-running data task, and tells the caller how it went.
// This program is all of it: `runhook serve` runs everything in one process, the other commands run
// one service, or speak to a server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/client"
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-heard
		signal.Stop(heard) // before anything stops: the second Ctrl-C ends the program at once
		stop()
	}()
	hangups := func() <-chan os.Signal {
		heard := make(chan os.Signal, 1)
		signal.Notify(heard, syscall.SIGHUP)
		return heard
	}
	os.Exit(runhook(ctx, os.Args[1:], os.Stdout, os.Stderr, hangups))
}

// grammar is the command line. It has no variables of kong for all flags: kong searches the text of each flag for
// each of them, which took most of a start's time. So the tags repeat a few constants, which a test compares.
type grammar struct {
	ShowVersion versionFlag `name:"version" env:"-" hidden:"" help:"Show the version."`

	Config   string `placeholder:"FILE" help:"File of settings: lines such as slots: 32, with the names of flags. Flags and variables go before it."`
	LogLevel string `enum:"debug,info,warn,error" default:"info" help:"What to log: debug, info, warn or error. The log is pretty on a terminal and JSON elsewhere."`

	Serve       serveCommand       `cmd:"" help:"Run everything in one process, with a NATS server of its own."`
	Run         runCommand         `cmd:"" help:"Start a run of a task."`
	Runs        runsCommand        `cmd:"" help:"Find, follow, repeat, cancel and delete runs, and get their failed rows: list, show, watch, count, again, cancel, delete, rejected."`
	Task        taskCommand        `cmd:"" help:"Make, try and change tasks: new, validate, check, preview, apply, enable, disable, rotate, delete, list, show, fields, schema."`
	Schedule    scheduleCommand    `cmd:"" help:"Say when a task file has the task run: next."`
	Connections connectionsCommand `cmd:"" help:"Let runs wait while a site or a database is down: list, pause, resume."`
	Audit       auditCommand       `cmd:"" help:"List who did what."`
	Console     consoleCommand     `cmd:"" help:"Print a link that signs in to the page, once."`
	Init        initCommand        `cmd:"" help:"Create the streams and buckets on an existing NATS, once."`
	Ingress     ingressCommand     `cmd:"" help:"Run the service that accepts webhooks, on an existing NATS."`
	Runner      runnerCommand      `cmd:"" help:"Run the service that executes runs, on an existing NATS."`
	Status      statusCommand      `cmd:"" help:"Run the service that answers polls, on an existing NATS."`
	Backup      backupCommand      `cmd:"" help:"Write the whole store into a file."`
	Restore     restoreCommand     `cmd:"" help:"Create a store from a backup."`

	NATSUser natsUserCommand `cmd:"" name:"nats-user" help:"Print what a user of an existing NATS may do."`
	Version  versionCommand  `cmd:"" help:"Show the version."`

	Completions completionsCommand `cmd:"" help:"Print what has a shell complete commands, flags, tasks and run numbers."`
	Man         manCommand         `cmd:"" help:"Write manual pages."`
	Complete    completeCommand    `cmd:"" hidden:"" passthrough:"" help:"List what the last word can be."`
}

// runhook is the whole program: it executes the command line args and returns the exit code. A service
// runs until ctx ends, and reads its files again at each of the hangups, which only a service listens to.
// Everything below it knows neither signals nor os.Exit.
func runhook(ctx context.Context, args []string, stdout, stderr io.Writer, hangups func() <-chan os.Signal) int {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	var commands grammar
	built := builtFrom()
	helped := false
	options := slices.Clone(numbers)
	if path := configPath(args); path != "" {
		settings, err := readConfig(path)
		if err != nil {
			return fail(stderr, err)
		}
		options = append(options, kong.Resolvers(settings))
	}
	parser, err := kong.New(&commands, append(options,
		kong.Name("runhook"),
		kong.Description("Runhook turns an HTTP POST into a long-running data task, and tells the caller how it went.\n\n"+
			"Start with `runhook serve --demo`. Every flag has an environment variable, RUNHOOK_ and its name: --nats-listen is RUNHOOK_NATS_LISTEN.\n\n"+
			"Exit codes: 0 success, 1 failed, 2 could not start, 3 canceled, 4 succeeded with failed rows (run --wait --fail-on-rejected)."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.DefaultEnvars("RUNHOOK"),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(built),
	)...)
	if err != nil {
		return fail(stderr, err)
	}
	command, err := parser.Parse(args)
	if helped {
		return exitSuccess
	}
	if err != nil {
		return fail(stderr, wrongUsage(err))
	}
	if err := checkVariables(parser.Model.Node, os.Environ()); err != nil && command.Command() != "complete" {
		return fail(stderr, err)
	}
	level, _ := zerolog.ParseLevel(commands.LogLevel) // the grammar takes no others
	tasks := new(atomic.Pointer[bus.TaskView])
	p := &program{stdin: os.Stdin, stdout: stdout, stderr: stderr, hangups: hangups, built: built, settings: settingsOf(command), log: newLog(stderr, level, tasks), tasks: tasks}
	return fail(stderr, command.Run(p))
}

// wrongUsage adds where to read what a command takes.
func wrongUsage(err error) error {
	help := "runhook --help"
	if parse, ok := errors.AsType[*kong.ParseError](err); ok && parse.Context != nil {
		if selected := parse.Context.Selected(); selected != nil {
			help = selected.FullPath() + " --help"
		}
	}
	return fmt.Errorf("%w; see `%s`", err, help)
}

// fail says what went wrong, if anything did, and returns the exit code.
func fail(stderr io.Writer, err error) int {
	code := exitNoStart
	coded, isCoded := errors.AsType[*exit](err)
	_, isProblem := errors.AsType[*client.Problem](err)
	switch {
	case err == nil:
		return exitSuccess
	case isCoded:
		code = coded.code
	case errors.Is(err, context.Canceled):
		code, err = exitCanceled, errors.New("interrupted")
	case isProblem:
		code = exitFailed
	}
	if !isCoded || coded.err != nil {
		_, _ = fmt.Fprintf(onScreen(stderr), "runhook: %v\n", err)
	}
	return code
}
