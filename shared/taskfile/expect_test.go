package taskfile

import (
	"reflect"
	"strings"
	"testing"

	"runhook/shared/task"
)

func TestParseExpect(t *testing.T) {
	parse := func(destination, expect string) (*task.Definition, error) {
		return Parse([]byte("id: "+string(task.NewID())+"\nname: x\nsource: {csv: {connection: drop, path: in.csv}}\nmapping: {id: ID}\n"+
			"destination: {"+destination+"}\nexpect: {"+expect+"}\n"), "x.yaml")
	}
	const table, file, service = "sql: {connection: db, table: t, key: [id], action: delete}", "csv: {connection: drop, path: o.csv, action: replace}", "http: {connection: p, path: /x}"
	for _, c := range []struct {
		destination, expect string
		want                task.Expect
	}{
		{table, "", task.Expect{}},
		{table, "min_rows: 3, max_delete: 0, max_change: 10%", task.Expect{MinRows: 3, MaxDelete: &task.Bound{}, MaxChange: &task.Bound{Percent: 10}}},
		{file, "max_delete: 0.5%", task.Expect{MaxDelete: &task.Bound{Percent: 0.5}}},
		{service, "min_rows: 1", task.Expect{MinRows: 1}},
	} {
		def, err := parse(c.destination, c.expect)
		if err != nil {
			t.Errorf("%s: %v", c.expect, err)
		} else if !reflect.DeepEqual(def.Expect, c.want) {
			t.Errorf("%s: %+v", c.expect, def.Expect)
		}
	}
	for _, c := range []struct{ destination, expect, name string }{
		{file, "max_change: 1", "max_change"},
		{service, "max_delete: 1", "max_delete"},
		{service, "max_change: 1%", "max_change"},
		{"nats: {subject: a}", "max_change: 1%", "max_change"},
	} {
		if _, err := parse(c.destination, c.expect); err == nil || !strings.Contains(err.Error(), "x.yaml:6: expect."+c.name+": how many rows of ") {
			t.Errorf("%s, %s: %v", c.destination, c.expect, err)
		}
	}
}
