package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"runhook/shared/audit"
	"runhook/shared/client"
	"runhook/shared/task"
)

type completionsCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says where it goes.
func (*completionsCommand) Help() string {
	return `Examples:

    source <(runhook completions bash)
    source <(runhook completions zsh)
    runhook completions fish | source

To have it in every shell, write the line into ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish. Tasks, run numbers and connections come from the server that the command line names, if it answers within a second.`
}

// The scripts of the shells: each asks `runhook complete`.
var (
	//go:embed shell/runhook.bash
	forBash string
	//go:embed shell/runhook.zsh
	forZsh string
	//go:embed shell/runhook.fish
	forFish string
)

// Run prints the script.
func (c *completionsCommand) Run(p *program) error {
	_, err := fmt.Fprint(p.stdout, map[string]string{"bash": forBash, "zsh": forZsh, "fish": forFish}[c.Shell])
	return err
}

// completeCommand is what the scripts ask: a line for each word that the last one can be, with what it is behind a
// tab. The line :files or :folders stands for those.
type completeCommand struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"The words of the command line, behind runhook."`
}

// completeWithin bounds what a server may take: somebody has pressed a key.
const completeWithin = time.Second

// Run lists the words.
func (c *completeCommand) Run(ctx context.Context, p *program, k *kong.Context) error {
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	for _, word := range newCompletion(k.Model.Node, c.Words).words(ctx) {
		line := word.text
		if word.help != "" {
			line += "\t" + word.help
		}
		if strings.ContainsAny(word.text, "\n\t\r") {
			continue // a shell would take it for two
		}
		if _, err := fmt.Fprintln(onScreen(p.stdout), strings.ReplaceAll(line, "\n", " ")); err != nil {
			return err
		}
	}
	return nil
}

// word is one that can stand in the place of the last one.
type word struct{ text, help string }

// completion is a command line whose last word is to be completed.
type completion struct {
	command *kong.Node
	// flag is the one whose value the last word is, nil for none, and argument the positional one that it is.
	flag     *kong.Flag
	argument *kong.Value
	// last is the last word, or what of it is a flag's value; before begins the words that are answered.
	last, before string
	// server says which server the line names.
	server ServerFlags
	// noFlags: a -- was there.
	noFlags bool
}

// newCompletion reads a command line as far as it goes. Words that are wrong are passed over.
func newCompletion(root *kong.Node, words []string) *completion {
	c := &completion{command: root, server: ServerFlags{
		Server: cmp.Or(os.Getenv("RUNHOOK_SERVER"), client.DefaultServer), TokenFile: os.Getenv("RUNHOOK_TOKEN_FILE"),
		CAFile: os.Getenv("RUNHOOK_CA_FILE"), Data: os.Getenv("RUNHOOK_DATA"),
	}}
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}
	positional := 0
	for _, text := range words[:len(words)-1] {
		switch {
		case text == "=" && c.flag != nil: // bash makes words of --flag=value
		case c.flag != nil:
			c.note(c.flag.Name, text)
			c.flag = nil
		case c.noFlags || !strings.HasPrefix(text, "-") || text == "-":
			if child := childOf(c.command, text); child != nil && positional == 0 {
				c.command = child
			} else {
				positional++
			}
		case text == "--":
			c.noFlags = true
		default:
			name, value, joined := strings.Cut(text, "=")
			if flag := flagOf(c.command, name); flag != nil && !flag.IsBool() {
				if c.flag = flag; joined {
					c.note(flag.Name, value)
					c.flag = nil
				}
			}
		}
	}
	c.last = words[len(words)-1]
	if c.flag != nil && c.last == "=" {
		c.last = ""
	}
	if name, value, joined := strings.Cut(c.last, "="); c.flag == nil && !c.noFlags && joined && strings.HasPrefix(name, "--") {
		if c.flag = flagOf(c.command, name); c.flag != nil {
			c.last, c.before = value, name+"="
		}
	}
	if arguments := c.command.Positional; c.flag == nil && len(arguments) > 0 {
		if positional < len(arguments) {
			c.argument = arguments[positional]
		} else if last := arguments[len(arguments)-1]; last.IsCumulative() {
			c.argument = last
		}
	}
	return c
}

// note takes up which server a flag names.
func (c *completion) note(flag, value string) {
	switch flag {
	case "server":
		c.server.Server = value
	case "token-file":
		c.server.TokenFile = value
	case "ca-file":
		c.server.CAFile = value
	case "data":
		c.server.Data = value
	}
}

func childOf(of *kong.Node, name string) *kong.Node {
	for _, child := range of.Children {
		if child.Name == name && !child.Hidden {
			return child
		}
	}
	return nil
}

// flagOf is the flag of a command, or of those that it is in, with a name such as --wait or -w.
func flagOf(of *kong.Node, name string) *kong.Flag {
	for _, flag := range flagsOf(of) {
		if "--"+flag.Name == name || flag.Short != 0 && "-"+string(flag.Short) == name {
			return flag
		}
	}
	return nil
}

// flagsOf are the flags of a command and of those that it is in.
func flagsOf(of *kong.Node) (flags []*kong.Flag) {
	for _, group := range of.AllFlags(true) {
		flags = append(flags, group...)
	}
	return flags
}

// words are those that the last one can be.
func (c *completion) words(ctx context.Context) []word {
	var all []word
	switch {
	case c.flag != nil:
		all = c.valuesOf(ctx, c.flag.Value, c.flag.PlaceHolder)
	case strings.HasPrefix(c.last, "-") && !c.noFlags:
		for _, flag := range flagsOf(c.command) {
			all = append(all, word{"--" + flag.Name, summary(flag.Help)})
		}
	case len(c.command.Children) > 0:
		for _, child := range c.command.Children {
			if !child.Hidden {
				all = append(all, word{child.Name, summary(child.Help)})
			}
		}
	case c.argument != nil:
		all = c.valuesOf(ctx, c.argument, "")
	}
	var fitting []word
	for _, w := range all {
		if strings.HasPrefix(w.text, ":") {
			return []word{w}
		}
		if w.text = c.before + w.text; strings.HasPrefix(strings.ToLower(w.text), strings.ToLower(c.before+c.last)) {
			fitting = append(fitting, w)
		}
	}
	return fitting
}

// summary is the first sentence of a help.
func summary(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(first, ".")
}

// valuesOf are those that a flag or an argument can have.
func (c *completion) valuesOf(ctx context.Context, value *kong.Value, placeholder string) (all []word) {
	switch {
	case value.Enum != "":
		for _, text := range value.EnumSlice() {
			all = append(all, word{text, ""})
		}
	case value.Name == "task":
		return c.tasks(ctx)
	case value.Name == "run":
		return c.runs(ctx)
	case value.Name == "connection":
		return c.connections(ctx)
	case value.Name == "what":
		for _, text := range audit.Words() {
			all = append(all, word{text, ""})
		}
	case value.Name == "outcome":
		return []word{{"success", ""}, {"failed", ""}, {"canceled", ""}, {"open", ""}}
	case value.Name == "trigger":
		return []word{{"webhook", ""}, {"cli", ""}, {"page", ""}, {"schedule", ""}, {"chain", ""}, {"again", ""}, {"dry run", ""}}
	case value.Name == "since" || value.Name == "until":
		return []word{{"today", ""}, {"yesterday", ""}, {"7d", ""}, {"24h", ""}}
	case placeholder == "DIR":
		return []word{{":folders", ""}}
	case placeholder == "FILE" || slices.Contains([]string{"file", "from-csv", "connections"}, value.Name):
		return []word{{":files", ""}}
	}
	return all
}

// tasks are the names of the server's tasks, or their ids where two have one name.
func (c *completion) tasks(ctx context.Context) (all []word) {
	server, err := c.client()
	if err != nil {
		return nil
	}
	defer server.Close()
	found, err := server.Tasks(ctx)
	if err != nil {
		return nil
	}
	names := map[string]int{}
	for _, t := range found {
		names[t.Name]++
	}
	for _, t := range found {
		if _, err := task.ParseID(t.Name); err == nil || names[t.Name] > 1 {
			all = append(all, word{string(t.ID), t.Name})
		} else {
			all = append(all, word{t.Name, string(t.ID)})
		}
	}
	return all
}

// completedRuns is how many of the newest runs are offered.
const completedRuns = 50

// runs are the numbers of the newest runs.
func (c *completion) runs(ctx context.Context) (all []word) {
	server, err := c.client()
	if err != nil {
		return nil
	}
	defer server.Close()
	list, err := server.Runs(ctx, client.Filter{}, completedRuns)
	if err != nil {
		return nil
	}
	for _, l := range list.Runs {
		all = append(all, word{l.ImportID.String(), l.TaskName + ", " + standingOf(l)})
	}
	return all
}

// connections are the names of those that tasks use; to resume one, of those that are paused.
func (c *completion) connections(ctx context.Context) (all []word) {
	server, err := c.client()
	if err != nil {
		return nil
	}
	defer server.Close()
	found, err := server.Connections(ctx)
	if err != nil {
		return nil
	}
	for _, one := range found {
		switch {
		case one.Paused:
			all = append(all, word{one.Name, "paused by " + one.By})
		case c.command.Name != "resume":
			all = append(all, word{one.Name, plural(len(one.Tasks), "task")})
		}
	}
	return all
}

// client speaks to the server that the line names. Nobody is told why there is none.
func (c *completion) client() (*client.Client, error) {
	if c.server.Server == "" {
		return nil, errors.New("no server")
	}
	return c.server.client()
}
