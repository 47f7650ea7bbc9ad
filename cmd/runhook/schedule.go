package main

import (
	"bytes"
	"strings"
	"text/tabwriter"
	"time"

	"runhook/shared/client"
	"runhook/shared/task"
)

type scheduleCommand struct {
	Next scheduleNextCommand `cmd:"" help:"Say when a task file has the task run next."`
}

// utcText is a moment in UTC, to the second.
func utcText(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05Z") }

// localText is a moment by the clocks of a zone, with the day of the week and their distance from UTC.
func localText(rfc3339 string) string {
	at, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		return rfc3339
	}
	return at.Format("Mon 2006-01-02 15:04:05 -07:00")
}

// dueRows are times as rows of a table.
func dueRows(all []client.Due) [][]string {
	rows := [][]string{{"UTC", "LOCAL", "SCHEDULE"}}
	for _, due := range all {
		rows = append(rows, []string{utcText(due.Due), localText(due.Local), due.Schedule})
	}
	return rows
}

// shownDue are times as the server shows them, too.
func shownDue(coming []task.Due) []client.Due {
	shown := []client.Due{}
	for _, due := range coming {
		shown = append(shown, client.Due{Due: due.At.UTC(), Local: due.Local(), TimeZone: due.Schedule.TimeZone, Schedule: due.Schedule.String()})
	}
	return shown
}

// scheduleText is when a task is due next, and what came of the last times; empty for a task without a schedule.
func scheduleText(t client.Task) (string, error) {
	var text bytes.Buffer
	if len(t.Next) > 0 {
		text.WriteString("Due next:\n")
		if err := writeIndented(&text, dueRows(t.Next)); err != nil {
			return "", err
		}
	}
	if len(t.Recent) > 0 {
		rows := [][]string{{"UTC", "CAME OF IT"}}
		for _, came := range t.Recent {
			what := "no run: " + came.Why
			if came.Run > 0 {
				what = "run " + came.Run.String()
			}
			rows = append(rows, []string{utcText(came.Due), what})
		}
		text.WriteString("Was due:\n")
		if err := writeIndented(&text, rows); err != nil {
			return "", err
		}
	}
	return text.String(), nil
}

// writeIndented writes a table, and an empty line.
func writeIndented(text *bytes.Buffer, rows [][]string) error {
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if _, err := table.Write([]byte("  " + strings.Join(row, "\t") + "\n")); err != nil {
			return err
		}
	}
	err := table.Flush()
	text.WriteString("\n")
	return err
}
