package task_test

import (
	"strings"
	"testing"

	"runhook/shared/task"
	"runhook/shared/taskfile"
)

func TestInterruption(t *testing.T) {
	for _, c := range []struct {
		source, destination string
		continues           bool
		says                []string
		not                 string
	}{
		{
			"csv: {connection: drop, path: in.csv}", "sql: {connection: w, table: t, action: insert}", true,
			[]string{"continues after the last confirmed batch", "if the file is unchanged", "ends Failed"},
			"at least once",
		},
		{
			"csv: {connection: drop, path: in.csv}", "sql: {connection: w, table: t, key: [id], action: upsert}", true,
			[]string{"continues after the last confirmed batch", "starts over"},
			"Failed",
		},
		{
			"sql: {connection: w, query: select id from a}", "sql: {connection: w, table: t, action: insert}", false,
			[]string{"ends Failed and says which rows may be there", "order_by"},
			"continues",
		},
		{
			"sql: {connection: w, query: select id from a, order_by: id}", "sql: {connection: w, table: t, action: insert}", true,
			[]string{"continues", "same rows in the same order", "ends Failed"},
			"order_by",
		},
		{
			"sql: {connection: w, query: select id from a}", "sql: {connection: w, table: t, key: [id], action: delete}", false,
			[]string{"interrupted run starts over"},
			"Failed",
		},
		{
			"csv: {connection: drop, path: in.csv}", "csv: {connection: drop, path: o.csv, action: replace}", false,
			[]string{"interrupted run starts over"},
			"at least once",
		},
		{
			"csv: {connection: drop, path: in.csv}", "csv: {connection: drop, path: o.csv, action: append}", true,
			[]string{"continues", "ends Failed", "at least once"},
			"starts over",
		},
		{
			"csv: {connection: drop, path: in.csv}", "http: {connection: p, path: /m}", true,
			[]string{"continues", "starts over", "at least once"},
			"Failed",
		},
		{
			"http: {connection: p, path: /m}", "nats: {subject: m.n}", true,
			[]string{"continues", "starts over", "at least once"},
			"Failed",
		},
	} {
		def, err := taskfile.Parse([]byte("id: "+string(task.NewID())+"\nname: x\nsource: {"+c.source+"}\nmapping: {id: id}\ndestination: {"+c.destination+"}\n"), "x.yaml")
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		text := def.Interruption()
		if def.Continues() != c.continues || strings.Contains(text, c.not) {
			t.Errorf("%s to %s: continues %v, %s", c.source, c.destination, def.Continues(), text)
		}
		for _, want := range c.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s to %s: %q is not in %q", c.source, c.destination, want, text)
			}
		}
	}
}
