package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/task"
)

// openPlaces opens the query of a bench.
func openPlaces(t *testing.T, b *pipelinetest.Bench) *sqldb.Source {
	t.Helper()
	from := b.Job.Task.Source.(*task.SQLSource)
	s, err := sqldb.OpenSource(t.Context(), b.Job.Connections, from, map[string]any{"N": "0"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rest reads all rows that a source still gives.
func rest(t *testing.T, s *sqldb.Source) (rows [][]any) {
	t.Helper()
	for {
		cells := make([]any, len(s.Columns().Names))
		_, err := s.Next(t.Context(), cells)
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, cells)
	}
}

// From the place of each row a query goes on with that row and those behind it, whatever the types and nulls of its order;
// or it says that it cannot, and is read by the row's number.
func TestPlaces(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, of pipelinetest.Make, b *pipelinetest.Bench) {
		for _, c := range []struct {
			name, columns string
			rows          []string
			order         []string
			found         int // how many of the rows are found
			on            string
		}{
			{name: "numbers", columns: "id bigint, v int", rows: []string{"-3, 1", "9007199254740992, 1", "9007199254740993, 2", "9007199254740994, 2", "null, 3"}, order: []string{"id"}, found: 4},
			{name: "two columns", columns: "id int, v int", rows: []string{"1, 1", "2, 1", "3, null", "4, null", "1, 2", "2, 2", "2, 3"}, order: []string{"v", "id"}, found: 5},
			{name: "nulls in the second", columns: "id int, v int", rows: []string{"1, 1", "null, 1", "1, 2", "null, 2", "2, 2"}, order: []string{"v", "id"}, found: 3},
			{name: "ties", columns: "id int, v int", rows: []string{"1, 1", "1, 2", "2, 1", "3, 1", "3, 2"}, order: []string{"id"}, found: 1},
			{name: "days", columns: "id int, v date", rows: []string{"1, '2026-01-31'", "2, '2025-12-31'", "3, '2026-02-01'"}, order: []string{"v"}, found: 3},
			{name: "moments of a zone", columns: "id int, v timestamptz", rows: []string{"1, '2026-01-31 10:00:00.000001+02'", "2, '2026-01-31 08:00:00.000002Z'", "3, '2026-01-31 08:00:00.1Z'", "4, 'infinity'"}, order: []string{"v"}, found: 3, on: "PostgreSQL"},
			{name: "moments", columns: "id int, v timestamp(6) null", rows: []string{"1, '2026-01-31 10:00:00.000001'", "2, '2026-01-31 10:00:00.000002'", "3, '2026-01-31 10:00:00.1'"}, order: []string{"v"}, found: 3, on: "PostgreSQL MariaDB"},
			{name: "decimals", columns: "id int, v numeric(30,12)", rows: []string{"1, 123456789012345678.000000000001", "2, 123456789012345678.000000000002", "3, 0.5"}, order: []string{"v"}, found: 3, on: "PostgreSQL"},
			{name: "doubles are no places", columns: "id int, v double precision", rows: []string{"1, 0.1", "2, 0.2"}, order: []string{"v"}},
			{name: "names are no places", columns: "id int, v varchar(20)", rows: []string{"1, 'Ann'", "2, 'Bob'"}, order: []string{"v", "id"}},
			{name: "UUIDs", columns: "id int, v uuid", rows: []string{"1, '0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01'", "2, 'fb9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01'"}, order: []string{"v"}, found: 2, on: "PostgreSQL"},
			{name: "one key in two cases", columns: "id int, v varchar(40)", rows: []string{"1, 'fb9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01'", "2, 'FB9F3C62-8d1e-4f57-a3c4-2e6d7b8a9c01'"}, order: []string{"v"}, found: 0, on: "MariaDB"},
		} {
			if c.on != "" && !strings.Contains(c.on, string(of)) {
				continue
			}
			b.Exec("DROP TABLE IF EXISTS placed; CREATE TABLE placed (" + c.columns + ")")
			for _, row := range c.rows {
				b.Exec("INSERT INTO placed VALUES (" + row + ")")
			}
			b.FromQuery("select * from placed where :N = '0' -- of all", c.order...)
			whole := openPlaces(t, b)
			rows := rest(t, whole)
			found := 0
			for i, row := range rows {
				s := openPlaces(t, b)
				place := whole.Place(row)
				if ok, err := s.SkipTo(t.Context(), place); err != nil {
					t.Errorf("%s: row %d at %s: %v", c.name, i, place, err)
				} else if ok {
					found++
					if got := rest(t, s); !reflect.DeepEqual(got, rows[i:]) {
						t.Errorf("%s: behind row %d at %s it reads %v, want %v", c.name, i, place, got, rows[i:])
					}
				} else if got := rest(t, s); !reflect.DeepEqual(got, rows) {
					t.Errorf("%s: what was not found changes the query: %v", c.name, got)
				}
				s.Close()
			}
			whole.Close()
			if found != c.found {
				t.Errorf("%s: %d rows are found, want %d", c.name, found, c.found)
			}
			s := openPlaces(t, b)
			for _, place := range []string{"", "x", "[]", "[null]", `[{}]`, `["a","b","c"]`} {
				if ok, err := s.SkipTo(t.Context(), place); ok || err != nil {
					t.Errorf("%s: %q is a place: %v", c.name, place, err)
				}
			}
			s.Close()
		}
	})
}

// A run that was interrupted goes on behind its last row, though rows before it have come and gone since.
func TestContinuesAtItsPlace(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		b.Exec("CREATE TABLE people (id int PRIMARY KEY, name varchar(20))")
		var values []string
		for i := 1; i <= 5000; i++ {
			values = append(values, fmt.Sprintf("(%d, 'name %d')", i*10, i))
		}
		b.Exec("INSERT INTO people VALUES " + strings.Join(values, ","))
		b.Job.Task.Source = &task.SQLSource{Connection: "warehouse", Query: "select * from people", OrderBy: []string{"id"}}
		b.Mapping("id", "id", "name", "name")
		b.ToFile(task.Append)
		stopped, job := errors.New("stopped"), b.Job
		job.BeforeWrite = func(_ context.Context, last int64) error {
			if last > 2500 {
				return stopped
			}
			return nil
		}
		var first, next pipeline.Meter
		if err := pipeline.Run(t.Context(), job, &first); !errors.Is(err, stopped) {
			t.Fatal(err)
		}
		at := first.Snapshot().Confirmed
		if at.Row == 0 || at.Place != fmt.Sprintf("[%d]", at.Row*10) {
			t.Fatalf("it is at %+v", at)
		}
		b.Exec("DELETE FROM people WHERE id IN (10, 20, 30); INSERT INTO people VALUES (15, 'new')")
		next.Begin(at)
		if err := pipeline.Run(t.Context(), b.Job, &next); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(b.Read("out.csv")), "\n")
		if len(lines) != 5001 || lines[1] != "10,name 1" || lines[5000] != "50000,name 5000" {
			t.Errorf("%d lines, from %s to %s", len(lines), lines[1], lines[len(lines)-1])
		}
	})
}
