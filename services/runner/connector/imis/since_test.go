package imis_test

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// An IQA gives what has changed by a prompt of its own: the first run reads all, and a later one from the highest value
// that was seen, less the overlap.
func TestIQASince(t *testing.T) {
	b := pipelinetest.New(t)
	query := imissite.Query{
		Path:    "$/Changed",
		Columns: []imissite.Column{{Name: "ID", Type: "Int32"}, {Name: "UpdatedOn", Type: "DateTime"}},
		Prompts: []imissite.Prompt{{Property: "UpdatedOn", Column: "UpdatedOn", Label: "ChangedSince", AtLeast: true}},
		Count:   60,
		Row: func(i int) []any {
			if i == 3 {
				return []any{i + 1, nil}
			}
			return []any{i + 1, fmt.Sprintf("2026-02-01T10:%02d:00.5", i)}
		},
	}
	server := httptest.NewServer(imissite.New("runhook", "secret", query))
	t.Cleanup(server.Close)
	set, err := connection.Parse([]byte("prod: {imis: {private: true, url: '"+server.URL+"', username: runhook, password: secret}}\nwarehouse: {sqlite: ./warehouse.db}\n"), filepath.Join(b.Folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	since := &task.Since{Column: "UpdatedOn", Prompt: "ChangedSince", Digits: true}
	b.Job.Connections = set
	b.Job.Task.Source = &task.IMISSource{Connection: "prod", Query: "$/Changed", PageSize: 7, Endpoint: task.QueryEndpoint, Since: since}
	b.Mapping("id", "ID")
	b.Job.Parameters = task.Values{}.WithSince("")
	if s := b.Succeed(run.Counts{Total: 60, Retrieved: 60, Inserted: 60}); s.Highest != "2026-02-01T10:59:00.5" {
		t.Errorf("it has seen %s", s.Highest)
	}
	since.Overlap = 10 * time.Minute
	b.Job.Parameters = task.Values{}.WithSince("2026-02-01T10:49:00.5")
	if s := b.Succeed(run.Counts{Total: 11, Retrieved: 11, Unchanged: 11}); s.Highest != "2026-02-01T10:59:00.5" {
		t.Errorf("it has seen %s", s.Highest)
	}
	// A prompt that the IQA does not have is refused before a row is read: all of them would come.
	since.Prompt = "Changed"
	b.Fail("Changed")
}
