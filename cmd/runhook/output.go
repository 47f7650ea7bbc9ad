package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"runhook/shared/bus"
	"runhook/shared/run"
)

// program is what every command gets from its caller.
type program struct {
	// stdin is where people answer questions; nil where nobody can.
	stdin          *os.File
	stdout, stderr io.Writer
	// built is what the program was built from, settings are what it was given that differs from the defaults.
	built    origin
	settings []string
	// hangups gives a value, from its call on, each time that a service is to read its files again.
	hangups func() <-chan os.Signal
	log     zerolog.Logger
	// tasks are what the log knows the GUIDs of tasks by, once a service has loaded them.
	tasks *atomic.Pointer[bus.TaskView]
}

// printf writes to the output. That nobody reads it is no reason to stop.
func (p *program) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(onScreen(p.stdout), format, args...)
}

// notef writes what is for people beside the output.
func (p *program) notef(format string, args ...any) {
	_, _ = fmt.Fprintf(onScreen(p.stderr), format, args...)
}

// printJSON writes a value to the output as indented JSON.
func (p *program) printJSON(value any) error {
	encoder := json.NewEncoder(onScreen(p.stdout))
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// printTable writes rows to the output with their columns aligned.
func (p *program) printTable(rows [][]string) error {
	table := tabwriter.NewWriter(onScreen(p.stdout), 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintln(table, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return table.Flush()
}

// printWarnings lists what a source says of its rows.
func (p *program) printWarnings(warnings []string) {
	for _, warning := range warnings {
		p.printf("warning: %s\n", warning)
	}
}

// The exit codes.
const (
	exitSuccess  = 0
	exitFailed   = 1
	exitNoStart  = 2
	exitCanceled = 3
	exitRejected = 4
)

// exit is an error with an exit code of its own.
type exit struct {
	code int
	// err is what to say, nil for nothing.
	err error
}

func (e *exit) Error() string {
	if e.err == nil {
		return "exit code " + strconv.Itoa(e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// newLog logs for people on a terminal, and for programs elsewhere.
func newLog(stderr io.Writer, level zerolog.Level, tasks *atomic.Pointer[bus.TaskView]) zerolog.Logger {
	out := stderr
	if isTerminal(stderr) {
		out = zerolog.ConsoleWriter{Out: stderr, TimeFormat: time.TimeOnly}
	}
	return zerolog.New(discreet{out, tasks}).Level(level).With().Timestamp().Logger()
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// plural counts things in words.
func plural[N int | int64](n N, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// maxShown is how many characters of a value are shown in a table.
const maxShown = 40

// shown is a text of unknown origin on one line of a terminal, which it must not control.
func shown(text string) string {
	var line strings.Builder
	for i, letter := range []rune(text) {
		if i == maxShown {
			line.WriteRune('…')
			break
		}
		if letter != ' ' && unicode.IsSpace(letter) { // which looks like another one
			line.WriteString(escaped(letter))
			continue
		}
		line.WriteString(inert(letter))
	}
	return line.String()
}

// quoted is a word of a command line, in quotes where a shell needs them.
func quoted(word string) string {
	plain := func(letter rune) bool {
		return unicode.IsLetter(letter) || unicode.IsDigit(letter) || strings.ContainsRune("._/-:", letter)
	}
	if word != "" && strings.IndexFunc(word, func(letter rune) bool { return !plain(letter) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// standing is a run's status in a word, with the percentage while that says something, and with the rows that
// a run failed to write though it succeeded.
func standing(doc run.Document) string {
	switch {
	case doc.Status == run.InProgress:
		return fmt.Sprintf("%s %.0f %%", doc.StatusDescription, math.Floor(doc.PercentComplete))
	case doc.Outcome() == run.Success && doc.RowsFailed > 0:
		return doc.StatusDescription + ", but " + plural(doc.RowsFailed, "row") + " failed"
	}
	return doc.StatusDescription
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
