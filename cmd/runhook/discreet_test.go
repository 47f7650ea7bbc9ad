package main

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/task"
)

// Above the level debug a line has the names of tasks in the place of their GUIDs, in whatever form these stand, and
// is else as it was.
func TestNamedLines(t *testing.T) {
	t.Parallel()
	const id, other = "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01"
	find := func(asked task.ID) (bus.Task, bool) {
		return bus.Task{Definition: &task.Definition{Name: `Say "hi"`}}, asked == id
	}
	const name = `Say \"hi\"`
	for line, want := range map[string]string{
		`{"message":"nothing"}`:                                      `{"message":"nothing"}`,
		`{"task":"` + id + `"}`:                                      `{"task":"` + name + `"}`,
		`{"path":"/task/execute/{` + strings.ToUpper(id) + `}"}`:     `{"path":"/task/execute/{` + name + `}"}`,
		`{"path":"/` + strings.ReplaceAll(id, "-", "") + `/3"}`:      `{"path":"/` + name + `/3"}`,
		`{"subject":"run.request.` + id + `","a":"` + id + id + `"}`: `{"subject":"run.request.` + name + `","a":"` + name + name + `"}`,
		`{"a":"abc-` + id + `-def"}`:                                 `{"a":"abc-` + name + `-def"}`,
		`{"correlation":"` + other + `"}`:                            `{"correlation":"` + other + `"}`,
		`{"a":"` + id[:35] + `"}`:                                    `{"a":"` + id[:35] + `"}`,
		id:                                                           name,
	} {
		if got := string(nameTasks([]byte(line), find)); got != want {
			t.Errorf("%s became\n%s, want\n%s", line, got, want)
		}
	}
	var out strings.Builder
	log := newLog(&out, zerolog.DebugLevel, new(atomic.Pointer[bus.TaskView]))
	log.Warn().Str("task", id).Msg("before any is known")
	if !strings.Contains(out.String(), `"task":"`+id+`"`) {
		t.Error(out.String())
	}
}

func BenchmarkNamed(b *testing.B) {
	line := []byte(`{"level":"info","task":"Refresh lapsed members","run":"7","outcome":"Success","rows":19200,"rows_failed":800,"ms":1768,"detail":"19200 rows processed, 800 failed","time":"2026-01-31T06:00:00Z","message":"run ended"}`)
	for b.Loop() {
		nameTasks(line, nil)
	}
}
