package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/pipeline"
	"runhook/shared/run"
	"runhook/shared/task"
)

// fromService makes the job read id and name from a web service.
func (b *bench) fromService(handle http.HandlerFunc, from task.HTTPSource) {
	b.t.Helper()
	server := httptest.NewServer(handle)
	b.t.Cleanup(server.Close)
	text := "drop: {files: .}\nwarehouse: {sqlite: ./warehouse.db}\npartner: {http: {url: \"" + server.URL + "\"}}\n"
	set, err := connection.Parse([]byte(text), filepath.Join(b.folder, "connections.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	from.Connection = "partner"
	b.job.Connections = set
	b.job.Task.Source = &from
	b.mapping("id", "id", "name", "name")
}

func TestServiceIsRead(t *testing.T) {
	b := newBench(t)
	b.fromService(func(w http.ResponseWriter, r *http.Request) {
		rows := []string{}
		for i := range 700 {
			rows = append(rows, fmt.Sprintf(`{"id":%s%d,"name":{"first":"N%d"},"state":%q}`, r.URL.Query().Get("skip"), i, i, r.URL.Query().Get("state")))
		}
		if r.URL.Query().Get("skip") == "1400" {
			rows = []string{`[]`}
		}
		fmt.Fprintf(w, `{"total":1401,"rows":[%s],"more":%t}`, strings.Join(rows, ","), true)
	}, task.HTTPSource{Path: "/?state={params.State}", Items: "rows", Total: "total", Next: &task.NextPage{Offset: "skip"}})
	b.parameters("State", "CA")
	b.job.Task.Where = "state == params.State"
	b.mapping("id", "id", "name", `name.first + "!"`)
	var m pipeline.Meter
	b.job.BeforeWrite = func(context.Context, int64) error {
		if total := m.Snapshot().Counts.Total; total != 1401 {
			t.Errorf("the total is %d", total)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b.job.Task.MaxRowErrors = 0
	err := pipeline.Run(ctx, b.job, &m)
	if err == nil || !strings.Contains(err.Error(), "ore failed rows than max_row_errors allows (0); the last is row 1401: is not an object") {
		t.Fatal(err)
	}
	if s := m.Snapshot(); s.Counts.Inserted != 1400 || b.query("select name from members where id = 700699") != "N699!" {
		t.Errorf("%+v", s)
	}
}

// A service without rows has no columns that an expression could be held against.
func TestServiceWithoutRows(t *testing.T) {
	b := newBench(t)
	b.fromService(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") }, task.HTTPSource{Path: "/"})
	b.job.Task.Where = `row["any"] > 3 && other.x == "y"`
	b.succeed(run.Counts{})
}

func TestServiceLacksAColumn(t *testing.T) {
	b := newBench(t)
	b.fromService(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{"id":1,"nmae":"Ann"}]`) }, task.HTTPSource{Path: "/"})
	b.fail("mapping.name: unknown column name; did you mean nmae?")
	b.job.Task.Source.(*task.HTTPSource).Columns = []string{"name"}
	b.succeed(run.Counts{Retrieved: 1, Inserted: 1})
}

// What a slow service has given is in the database while the service keeps the next row.
func TestSlowServiceIsSeenInTime(t *testing.T) {
	b := newBench(t)
	written := make(chan struct{})
	b.fromService(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `[{"id":0,"name":"x"}`)
		// More than the first sample is read for its columns.
		for i := range 1100 {
			fmt.Fprintf(w, `,{"id":%d,"name":"x"}`, i+1)
		}
		w.(http.Flusher).Flush()
		select {
		case <-written:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, `,{"id":2000,"name":"x"}]`)
	}, task.HTTPSource{Path: "/"})
	b.job.BeforeWrite = func(_ context.Context, row int64) error {
		if row == 1101 {
			close(written)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if s, err := b.run(ctx); err != nil || s.Counts.Inserted != 1102 {
		t.Errorf("%+v, %v", s, err)
	}
}
