package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
)

type runsAgainCommand struct {
	RunArg
	JSONFlag
	Param []string `short:"p" sep:"none" placeholder:"NAME=VALUE" help:"A parameter's value instead of the run's. Several of one name make a list."`
	Edit  bool     `short:"e" help:"Show the values in $$EDITOR first, and start the run with what is saved."`
	Wait  bool     `short:"w" help:"Wait for the end, showing progress."`
}

// Help shows examples.
func (*runsAgainCommand) Help() string {
	return `The task as it is now executes the new run, which says of which run it is the repeat. A dry run is repeated as one.

Examples:

    runhook runs again 41 --wait
    runhook runs again 41 -p State=AK
    runhook runs again 41 --edit

With --wait the exit code is the result, as of runhook run --wait.`
}

// Run starts the run, and with --wait follows it.
func (c *runsAgainCommand) Run(ctx context.Context, p *program) error {
	number, err := c.number()
	if err != nil {
		return err
	}
	given, err := parseParameters(c.Param)
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	var request client.Request
	err = whileAway(ctx, func() error {
		request, err = server.Request(ctx, number)
		return err
	})
	if err != nil {
		return &exit{exitNoStart, err}
	}
	if request.Hidden {
		return &exit{exitNoStart, errors.New("the token only reads, so it does not see the values of the run and starts none; use one without (read)")}
	}
	if request.Trigger == run.Corrections {
		return &exit{exitNoStart, fmt.Errorf("run %s has read corrected rows of run %s, not the task's source; repeat it with Run again on its page, or run the task with runhook run", number, request.RepeatOf)}
	}
	values := map[string][]string{}
	for name, value := range request.Parameters {
		if value.From != task.FromSource { // which counts again
			values[name] = value.Values
		}
	}
	for name, value := range given {
		maps.DeleteFunc(values, func(other string, _ []string) bool { return strings.EqualFold(other, name) })
		values[name] = value
	}
	if c.Edit {
		if values, err = p.edit(ctx, request, values); err != nil {
			return &exit{exitNoStart, err}
		}
	}
	found, err := taskOf(ctx, server, request.Task)
	if err != nil {
		return &exit{exitNoStart, err}
	}
	started, err := server.Repeat(ctx, cmp.Or(found.WebhookID, request.Task), values, number, request.DryRun)
	if problem, ok := errors.AsType[*client.Problem](err); ok && problem.Status == http.StatusBadRequest {
		err = fmt.Errorf("%w Correct the values with --edit, or pass them as -p NAME=VALUE", err)
	}
	if err != nil {
		return &exit{exitNoStart, err}
	}
	p.noteFault(found)
	if !c.Wait {
		if c.JSON {
			return p.printJSON(started.Document)
		}
		p.printf("Run %s of %q is accepted, a repeat of run %s. How it goes: runhook runs watch %[1]s\n", started.Number, started.Document.TaskName, number)
		return nil
	}
	p.notef("Run %s of %q is accepted, a repeat of run %s.\n", started.Number, started.Document.TaskName, number)
	doc, err := p.follow(ctx, server, started)
	if err != nil {
		return err
	}
	return p.report(ctx, server, doc, values, c.JSON)
}

// edit has a person edit the values of a run, and returns what was saved.
func (p *program) edit(ctx context.Context, request client.Request, values map[string][]string) (map[string][]string, error) {
	editor := cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"))
	if editor == "" {
		return nil, errors.New("--edit: there is no editor; name one in the environment variable EDITOR")
	}
	dir, err := os.MkdirTemp("", "runhook-edit-*") // for its owner: the values may be people's
	if err != nil {
		return nil, fmt.Errorf("--edit: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a folder that stays is its owner's alone
	file := filepath.Join(dir, "run-"+request.Number.String()+".yaml")
	if err := os.WriteFile(file, valuesFile(request, values), 0o600); err != nil {
		return nil, fmt.Errorf("--edit: %w", err)
	}
	// Whoever saves the file, also as it is, gives it another time than this one.
	written := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(file, written, written); err != nil {
		return nil, fmt.Errorf("--edit: %w", err)
	}
	command := exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "sh", file)
	command.Stdin, command.Stdout, command.Stderr = p.stdin, p.stdout, p.stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("nothing was started, because the editor failed (%s): %w", editor, err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("nothing was started, because what was saved cannot be read: %w", err)
	}
	if info.ModTime().Equal(written) {
		return nil, errNotSaved
	}
	saved, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("nothing was started, because what was saved cannot be read: %w", err)
	}
	edited, err := parseValues(saved)
	if err != nil {
		return nil, fmt.Errorf("nothing was started: %w", err)
	}
	return edited, nil
}

// valuesFile is what is edited: the values that a run was started with, by name.
func valuesFile(request client.Request, values map[string][]string) []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, "# The values of run %s of %s. A run with them starts when you save this\n# and leave the editor. Leave without saving, or delete everything, to start none.\n{}\n", request.Number, yamlText(request.TaskName))
	names := slices.Sorted(maps.Keys(values))
	for name := range request.Parameters {
		if _, has := values[name]; !has {
			names = append(names, name)
		}
	}
	if slices.Sort(names); len(names) == 0 {
		return text.Bytes()
	}
	text.Truncate(text.Len() - len("{}\n"))
	for _, name := range names {
		list := values[name]
		switch {
		case len(list) == 0:
			fmt.Fprintf(&text, "%s: \"\" # no value: the source's own default\n", yamlText(name))
		case len(list) == 1 && !request.Parameters[name].Multiple:
			fmt.Fprintf(&text, "%s: %s\n", yamlText(name), yamlText(list[0]))
		default:
			fmt.Fprintf(&text, "%s:\n", yamlText(name))
			for _, value := range list {
				fmt.Fprintf(&text, "  - %s\n", yamlText(value))
			}
		}
	}
	return text.Bytes()
}

// yamlText is a text as it stands in YAML, in quotes where it would be read as something else.
func yamlText(text string) string {
	node := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if strings.ContainsAny(text, "\n\r") {
		node.Style = yaml.DoubleQuotedStyle
	}
	encoded, err := yaml.Marshal(&node)
	if err != nil {
		return fmt.Sprintf("%q", text)
	}
	return strings.TrimSuffix(string(encoded), "\n")
}

// errNotSaved is the error of an editor that was left without saving.
var errNotSaved = errors.New("nothing was started, because the editor was left without saving; save the file, also as it is, to start the run, or leave out --edit")

// errNoValues is the error of a file that was emptied.
var errNoValues = errors.New("the file is empty")

// parseValues reads what valuesFile writes, edited. Values are texts as they stand there: 007 stays 007.
func parseValues(text []byte) (map[string][]string, error) {
	var document yaml.Node
	err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && (len(document.Content) == 0 || document.Content[0].Tag == "!!null") {
		return nil, errNoValues
	}
	if err != nil {
		return nil, fmt.Errorf("what was saved is not NAME: VALUE lines: %w", err)
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: write NAME: VALUE", root.Line)
	}
	values := map[string][]string{}
	for i := 0; i < len(root.Content); i += 2 {
		name, value := root.Content[i], root.Content[i+1]
		if _, twice := values[name.Value]; twice {
			return nil, fmt.Errorf("line %d: %s is there twice", name.Line, name.Value)
		}
		switch value.Kind {
		case yaml.ScalarNode:
			values[name.Value] = []string{valueOfNode(value)}
		case yaml.SequenceNode:
			values[name.Value] = []string{}
			for _, item := range value.Content {
				if item.Kind != yaml.ScalarNode {
					return nil, fmt.Errorf("line %d: %s has a value that is neither a text nor a list of texts", item.Line, name.Value)
				}
				values[name.Value] = append(values[name.Value], valueOfNode(item))
			}
		default:
			return nil, fmt.Errorf("line %d: %s is neither a text nor a list of texts", value.Line, name.Value)
		}
	}
	return values, nil
}

func valueOfNode(node *yaml.Node) string {
	if node.Tag == "!!null" {
		return ""
	}
	return node.Value
}
