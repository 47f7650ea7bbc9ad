package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"golang.org/x/term"

	"runhook/shared/run"
	"runhook/shared/zone"
)

// UTCFlag says in which zone times are read and shown.
type UTCFlag struct {
	UTC bool `name:"utc" help:"Show and read times in UTC. Default: this machine's time zone."`
}

func (f UTCFlag) zone() *time.Location {
	if f.UTC {
		return time.UTC
	}
	return time.Local
}

const (
	// screenWidth is how many columns a table has that is not on a terminal; on a wider one it may have more.
	screenWidth = 80
	// leastName is how many columns a task's name has at least.
	leastName = 4
	columnGap = 2
)

// width is how many columns a line may have.
func (p *program) width() int {
	if file, ok := p.stdout.(*os.File); ok {
		if columns, _, err := term.GetSize(int(file.Fd())); err == nil {
			return max(columns, screenWidth)
		}
	}
	return screenWidth
}

// colors reports whether the output may have colors: it is on a terminal, and nobody has asked for none.
func (p *program) colors() bool {
	return isTerminal(p.stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// The colors of how runs stand.
const (
	green, yellow, red, dim, plain = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
)

func colorOf(l run.Listed) string {
	switch l.Outcome() {
	case run.Success:
		if l.RowsFailed > 0 {
			return yellow
		}
		return green
	case run.Failed:
		return red
	case run.Canceled:
		return dim
	}
	return ""
}

// Places of columns in the table of runs.
const (
	nameColumn   = 1
	statusColumn = 2
)

// printRuns prints runs in lines that fit the screen: the tasks' names give way.
func (p *program) printRuns(runs []run.Listed, zone *time.Location, now time.Time) error {
	rows := [][]string{{"RUN", "TASK", "STATUS", "BY", "CREATED", "TOOK", "ROWS", "FAILED"}}
	colors := []string{""}
	for _, l := range runs {
		rows = append(rows, []string{
			l.ImportID.String(), inertText(l.TaskName), l.StatusDescription, string(l.Trigger), shortClock(l.CreatedOn, zone, now), took(l),
			short(l.RowsProcessed), short(l.RowsFailed),
		})
		colors = append(colors, colorOf(l))
	}
	return p.printFitted(rows, colors, 5)
}

// queueName is how many columns a task's name has at least in the table of runs that wait, if it has as many.
const queueName = 24

// printQueue prints runs that wait, and what for, in lines that fit the screen. The reasons give way first, which begin
// with what they are, and then the tasks' names.
func (p *program) printQueue(runs []run.Listed, zone *time.Location, now time.Time) error {
	rows := [][]string{{"RUN", "TASK", "CREATED", "WAITS FOR"}}
	for _, l := range runs {
		rows = append(rows, []string{l.ImportID.String(), inertText(l.TaskName), shortClock(l.CreatedOn, zone, now), inertText(cmp.Or(l.WaitingFor, "-"))})
	}
	var widest [3]int
	for _, row := range rows {
		for i := range widest {
			widest[i] = max(widest[i], uniseg.StringWidth(row[i]))
		}
	}
	room := p.width() - widest[0] - min(widest[nameColumn], queueName) - widest[2] - 3*columnGap
	for _, row := range rows {
		row[3] = cut(row[3], room)
	}
	return p.printFitted(rows, nil, len(rows[0]))
}

// printFitted prints rows whose cells control nothing, with colors where there may be some. numbers is the column from
// which on there are numbers.
func (p *program) printFitted(rows [][]string, colors []string, numbers int) error {
	if colors == nil || !p.colors() {
		colors = make([]string, len(rows))
	}
	_, err := fmt.Fprint(p.stdout, fitted(rows, colors, numbers, p.width()))
	return err
}

// fitted are rows as lines of at most so many columns, where the column of names gives way. A status has its color.
func fitted(rows [][]string, colors []string, numbers, width int) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], uniseg.StringWidth(cell))
		}
	}
	all := columnGap * (len(widths) - 1)
	for _, w := range widths {
		all += w
	}
	if all > width {
		widths[nameColumn] = max(leastName, widths[nameColumn]-(all-width))
	}
	var lines strings.Builder
	for r, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			cell = cut(cell, widths[i])
			pad := strings.Repeat(" ", widths[i]-uniseg.StringWidth(cell))
			if i == statusColumn && colors[r] != "" {
				cell = colors[r] + cell + plain
			}
			if isNumber := i >= numbers || i == 0 && numbers > statusColumn; isNumber {
				cell = pad + cell
			} else {
				cell += pad
			}
			if i > 0 {
				line.WriteString(strings.Repeat(" ", columnGap))
			}
			line.WriteString(cell)
		}
		lines.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return lines.String()
}

// cut is a text of at most so many columns.
func cut(text string, width int) string {
	if uniseg.StringWidth(text) <= width {
		return text
	}
	var kept strings.Builder
	used := 0
	for letters := uniseg.NewGraphemes(text); letters.Next(); {
		if used += letters.Width(); used > width-1 {
			break
		}
		kept.WriteString(letters.Str())
	}
	return kept.String() + "…"
}

// wrapped is a text as lines of at most so many columns, broken at spaces and indented. A longer word stays whole.
func wrapped(text string, indent, width int) string {
	begin := strings.Repeat(" ", indent)
	var lines strings.Builder
	line := begin
	for _, word := range strings.Fields(text) {
		if line != begin && uniseg.StringWidth(line)+1+uniseg.StringWidth(word) > width {
			lines.WriteString(line + "\n")
			line = begin
		}
		if line != begin {
			line += " "
		}
		line += word
	}
	return lines.String() + line + "\n"
}

// shortClock is a moment as a list shows it: without a year that goes without saying.
func shortClock(t run.Time, zone *time.Location, now time.Time) string {
	at := time.Time(t).In(zone)
	if at.Year() == now.In(zone).Year() {
		return at.Format("01-02 15:04:05")
	}
	return at.Format(time.DateOnly)
}

// took is how long a run has taken, or has taken so far.
func took(l run.Listed) string {
	if l.StartedOn == nil {
		return "-"
	}
	d := time.Duration(l.DurationMs) * time.Millisecond
	switch {
	case d < 100*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d/time.Second%60)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d/time.Minute%60)
}

// short is a number of at most six digits, or about that.
func short(n int64) string {
	const million = 1_000_000
	switch {
	case n >= 1000*million:
		return strconv.FormatFloat(float64(n)/(1000*million), 'f', 1, 64) + "G"
	case n >= million:
		return strconv.FormatFloat(float64(n)/million, 'f', 1, 64) + "M"
	}
	return strconv.FormatInt(n, 10)
}

// localZone is the IANA name of this machine's time zone, empty where it has none.
func localZone() string {
	if name := os.Getenv("TZ"); name != "" {
		return known(strings.TrimPrefix(name, ":"))
	}
	if name := time.Local.String(); name != "Local" {
		return known(name)
	}
	at, err := filepath.EvalSymlinks("/etc/localtime")
	if err != nil {
		return ""
	}
	_, name, _ := strings.Cut(at, "/zoneinfo/")
	return known(name)
}

// known is the name of a zone, empty if it is none.
func known(name string) string {
	if _, err := zone.Load(name); err != nil || name == "UTC" {
		return ""
	}
	return name
}
