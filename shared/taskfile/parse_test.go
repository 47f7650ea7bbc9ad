package taskfile

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"runhook/shared/task"
)

// sample is a small valid file; the tests of what is refused change one thing of it.
const sample = `id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd
name: Refresh lapsed members
parameters:
  - name: FirstName
source:
  csv: {connection: drop, path: in.csv}
mapping:
  id: ID
  full_name: FirstName + " " + LastName
destination:
  sql: {connection: warehouse, table: members, key: [id], action: upsert}
`

// with is the sample with one part replaced.
func with(old, replacement string) string {
	if !strings.Contains(sample, old) {
		panic("the sample has no " + old)
	}
	return strings.Replace(sample, old, replacement, 1)
}

// and is the sample with a field more, on line 12.
func and(line string) string { return sample + line + "\n" }

func TestParseReadsEveryField(t *testing.T) {
	text := `id: "{555E1A89-5D7D-4DAF-AE0E-7B9B2B7933DD}"
name: Refresh lapsed members
description: |
  Every night,
  after the import.
enabled: false
parameters:
  - filter: CsContact.FirstName
    prompt: required
    default: Ann
    description: whose
  - {name: Group, multiple: true, max_bytes: 8000, path: true, default: [a, "", 007], source_default: z}
source:
  csv: {connection: drop, path: sub/in.csv, delimiter: "\t", encoding: windows-1252}
where: FirstName != ""
mapping:
  zip: Zip
  id: ID
destination:
  csv: {connection: out, path: out.csv, action: append}
on_row_error: stop
max_row_errors: 0
concurrency: 4
max_queued: 50
disable_after_failures: 3
timeout: 90m
start_within: 600
retry: {attempts: 5, backoff: 2m}
rejected_rows: {columns: all, keep: 12h, max: 3KiB, link: true}
retry_after: 1m30s
failed_status: 422
allow_origins: [https://Example.org, "http://localhost:8080"]
rate_limit: 60/m
pool: on-prem_2
`
	got, err := Parse([]byte(text), "task.yaml")
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(text))
	want := &task.Definition{
		ID: "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", Name: "Refresh lapsed members", Description: "Every night,\nafter the import.\n",
		Parameters: []task.Parameter{
			{Name: "FirstName", Filter: "CsContact.FirstName", Required: true, Default: []string{"Ann"}, MaxBytes: 4096, Description: "whose"},
			{Name: "Group", Multiple: true, Default: []string{"a", "007"}, SourceDefault: []string{"z"}, MaxBytes: 8000, AnyPath: true},
		},
		Source: &task.CSVSource{Connection: "drop", Path: "sub/in.csv", Delimiter: '\t', Encoding: "windows-1252"},
		Where:  `FirstName != ""`, WhereLine: 15,
		Mapping:     []task.Column{{Name: "zip", Expression: "Zip", Line: 17}, {Name: "id", Expression: "ID", Line: 18}},
		Destination: &task.CSVDestination{Connection: "out", Path: "out.csv", Action: task.Append},
		OnRowError:  task.StopOnRowError, MaxRowErrors: 0, Concurrency: 4, MaxQueued: 50, DisableAfterFailures: 3, Pool: "on-prem_2", Timeout: 90 * time.Minute,
		StartWithin: 10 * time.Minute, Retry: task.Retry{Attempts: 5, Backoff: 2 * time.Minute}, RetryAfter: 90 * time.Second, FailedStatus: 422,
		RateLimit: task.Rate{Count: 60, Per: time.Minute}, AllowOrigins: []string{"https://example.org", "http://localhost:8080"},
		RejectedRows: task.RejectedRows{AllColumns: true, Keep: 12 * time.Hour, Max: 3 << 10, Link: true},
		Text:         []byte(text), Hash: hex.EncodeToString(hash[:]),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseFillsInDefaults(t *testing.T) {
	for name, text := range map[string]string{
		"plain": sample, "byte order mark": "\ufeff" + sample, "Windows line ends": strings.ReplaceAll(sample, "\n", "\r\n"),
		"document marks": "---\n" + sample + "...\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(text), "task.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if !got.Enabled || got.OnRowError != task.ContinueOnRowError || got.MaxRowErrors != 1000 || got.Concurrency != 1 || got.Overlap != "" || got.MaxQueued != 10_000 || got.DisableAfterFailures != 0 ||
				got.RetryAfter != 0 || got.Timeout != 2*time.Hour || got.StartWithin != 0 || got.Retry != (task.Retry{Attempts: 3, Backoff: 30 * time.Second}) || got.FailedStatus != 200 || got.RejectedRows != (task.RejectedRows{Keep: 90 * 24 * time.Hour, Max: 64 << 20}) || !reflect.DeepEqual(got.AllowOrigins, []string{"*"}) ||
				got.Source.(*task.CSVSource).Delimiter != ',' || got.Source.(*task.CSVSource).Encoding != "" || got.Where != "" {
				t.Errorf("unexpected defaults: %+v", got)
			}
			want := &task.SQLDestination{Connection: "warehouse", Table: "members", Key: []string{"id"}, Action: task.Upsert}
			if !reflect.DeepEqual(got.Destination.(*task.SQLDestination), want) {
				t.Errorf("destination: got %+v, want %+v", got.Destination.(*task.SQLDestination), want)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for name, text := range map[string]string{
		"an insert without key":        with("key: [id], action: upsert", "action: insert"),
		"an insert with key":           with("upsert", "insert, create: true"),
		"a delete by key alone":        with("  full_name: FirstName + \" \" + LastName\n", "") + "description: x\n",
		"names that look like numbers": with("Refresh lapsed members", "2024"),
		"an empty where":               and(`where: ""`),
		"no origins at all":            and("allow_origins: []"),
		"retry_after as a number":      and("retry_after: 1"),
		"retry_after as the default":   and("retry_after: auto"),
		"dots inside a path":           with("in.csv", "a/../b..csv"),
		"JSON":                         `{"id":"555e1a895d7d4dafae0e7b9b2b7933dd","name":"j","source":{"csv":{"connection":"c","path":"p"}},"mapping":{"a":"A"},"destination":{"csv":{"connection":"c","path":"q","action":"replace"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(text), "task.yaml"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A refusal is a text that Parse refuses and the error it gives, without the file's name.
type refusal struct{ name, text, want string }

func expectRefusals(t *testing.T, refusals []refusal) {
	t.Helper()
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			def, err := Parse([]byte(tt.text), "task.yaml")
			if err == nil {
				t.Fatalf("accepted: %+v", def)
			}
			got := strings.ReplaceAll(err.Error(), "task.yaml:", "")
			if got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

// lines makes a text of several lines.
func lines(l ...string) string { return strings.Join(l, "\n") }

func TestInvalidIsNotLongerThanAPage(t *testing.T) {
	_, err := Parse([]byte(strings.Repeat("name: x\n", 1000)), "task.yaml")
	text := err.Error()
	if got := strings.Count(text, "\n") + 1; got != 101 || !strings.HasSuffix(text, "\ntask.yaml: and 903 more problems") {
		t.Errorf("got %d lines, which end in …%s", got, text[len(text)-60:])
	}
}
