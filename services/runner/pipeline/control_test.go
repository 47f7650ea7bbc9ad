package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"runhook/services/runner/pipeline/pipelinetest"

	"runhook/services/runner/pipeline"
	"runhook/services/runner/row"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

func TestWhereAndParameters(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name,Member Type\n1,Ann,REG\n2,Bob,STU\n3,Ann,STU\n")
	b.Job.Task.Parameters = []task.Parameter{
		{Name: "FirstName"},
		{Name: "Types", Multiple: true},
		{Name: "Id", Filter: "A.Id"},
		{Name: "Id", Filter: "B.Id"},
	}
	b.Job.Task.Where = `(params.FirstName == "" || Name == params.FirstName) && (len(params.Types) == 0 || row["Member Type"] in params.Types) && params["A.Id"] == "" && params["B.Id"] == ""`
	for _, c := range []struct {
		values task.Values
		want   string
	}{
		{nil, "1 2 3"},
		{task.Values{"FirstName": {Values: []string{"Ann"}}}, "1 3"},
		{task.Values{"FirstName": {Values: []string{"Ann"}}, "Types": {Values: []string{"STU", "X"}, Multiple: true}}, "3"},
		{task.Values{"B.Id": {Values: []string{"7"}}}, ""},
	} {
		b.Job.Parameters = c.values
		b.ToFile(task.Replace)
		s, err := b.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for line := range strings.Lines(b.Read("out.csv")) {
			if id, _, _ := strings.Cut(line, ","); id != "id" {
				ids = append(ids, id)
			}
		}
		if got := strings.Join(ids, " "); got != c.want || s.Counts.Skipped != int64(3-len(ids)) {
			t.Errorf("%v: rows %s, want %s; counts %+v", c.values, got, c.want, s.Counts)
		}
	}
}

// faulty writes rows of which every nth is no number, from 1.
func faulty(b *pipelinetest.Bench, rows, nth int) {
	var text strings.Builder
	text.WriteString("ID,Name\n")
	for i := 1; i <= rows; i++ {
		if i%nth == 0 {
			fmt.Fprintf(&text, "4711secret%d,x\n", i)
		} else {
			fmt.Fprintf(&text, "%d,x\n", i)
		}
	}
	b.Write("members.csv", text.String())
}

func TestStopOnRowError(t *testing.T) {
	for _, where := range []string{"conversion", "mapping", "database"} {
		b := pipelinetest.New(t)
		faulty(b, 10_000, 4321)
		b.Job.Task.OnRowError = task.StopOnRowError
		switch where {
		case "conversion":
			b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT)")
		case "mapping":
			b.Mapping("id", "int(ID)", "name", "Name")
		case "database":
			b.Exec("CREATE TABLE members (id TEXT PRIMARY KEY CHECK (id NOT LIKE '%secret%'), name TEXT)")
		}
		s := b.Fail("Stopped at row 4321, as on_row_error asks: ")
		b.Counts(s, run.Counts{Retrieved: 4321, Inserted: 4320, Failed: 1})
		if got := b.Query("SELECT count(*), max(CAST(id AS INTEGER)) FROM members"); got != "4320 4320" {
			t.Errorf("%s: the table has %s", where, got)
		}
	}
}

func TestMaxRowErrors(t *testing.T) {
	for _, where := range []string{"conversion", "mapping", "database"} {
		b := pipelinetest.New(t)
		faulty(b, 10_000, 100)
		b.Job.Task.MaxRowErrors = 30
		switch where {
		case "conversion":
			b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT)")
		case "mapping":
			b.Mapping("id", "int(ID)", "name", "Name")
		case "database":
			b.Exec("CREATE TABLE members (id TEXT PRIMARY KEY CHECK (id NOT LIKE '%secret%'), name TEXT)")
		}
		s := b.Fail("More failed rows than max_row_errors allows (30); the last is row 3100: ")
		b.Counts(s, run.Counts{Retrieved: 3100, Inserted: 3069, Failed: 31})
		if got := b.Query("SELECT count(*) FROM members"); got != "3069" {
			t.Errorf("%s: the table has %s", where, got)
		}
		if strings.Contains(fmt.Sprint(s), "4711") {
			t.Errorf("%s: the snapshot shows a value: %v", where, s)
		}
		b.Job.Task.MaxRowErrors = 100
		if s, err := b.Run(t.Context()); err != nil || s.Counts.Failed != 100 {
			t.Errorf("%s: at the limit: %v, %+v", where, err, s.Counts)
		}
	}
}

// BeforeWrite is called ahead of every batch with its last row, and what it says counts.
func TestBeforeWrite(t *testing.T) {
	for _, kind := range []string{"sql", "append", "replace"} {
		b := pipelinetest.New(t)
		pipelinetest.MemberFile(t, filepath.Join(b.Folder, "members.csv"), 3*row.MaxRows)
		b.Mapping("id", "ID", "name", "FirstName")
		if kind != "sql" {
			b.ToFile(task.Action(kind))
		}
		stop := errors.New("the claim is lost")
		var rows []int64
		b.Job.BeforeWrite = func(_ context.Context, n int64) error {
			rows = append(rows, n)
			if len(rows) == 3 {
				return stop
			}
			return nil
		}
		s, err := b.Run(t.Context())
		if !errors.Is(err, stop) {
			t.Fatalf("%s: got %v, want BeforeWrite's error", kind, err)
		}
		if got := fmt.Sprint(rows); got != fmt.Sprint([]int64{row.MaxRows, 2 * row.MaxRows, 3 * row.MaxRows}) {
			t.Errorf("%s: called with %s", kind, got)
		}
		written := int64(2 * row.MaxRows)
		switch kind {
		case "sql":
			if got := b.Query("SELECT count(*) FROM members"); got != strconv.FormatInt(written, 10) {
				t.Errorf("the table has %s rows", got)
			}
		case "append":
			if got := strings.Count(b.Read("out.csv"), "\n") - 1; int64(got) != written {
				t.Errorf("the file has %d rows", got)
			}
		case "replace":
			written = 0
			if got := b.Read("out.csv"); got != "(no file)" {
				t.Error("there is a file")
			}
		}
		if s.Counts.Inserted != written || s.Counts.Retrieved != 2*row.MaxRows {
			t.Errorf("%s: counts %+v", kind, s.Counts)
		}
	}
}

func TestBeforeWriteIsNotCalledForNothing(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n2\n")
	b.Job.Task.Where = "false"
	b.Job.BeforeWrite = func(context.Context, int64) error { return errors.New("called") }
	b.Counts(b.Fail("No row was written"), run.Counts{Total: 2, Retrieved: 2, Skipped: 1, Failed: 1})
}

// A run that is canceled ends at once, with the counts of what is in the table.
func TestCancel(t *testing.T) {
	b := pipelinetest.New(t)
	pipelinetest.MemberFile(t, filepath.Join(b.Folder, "members.csv"), 100_000)
	b.Mapping("id", "ID", "name", "FirstName")
	for range 5 {
		ctx, cancel := context.WithCancelCause(t.Context())
		batches, after := 0, 1+rand.IntN(10)
		b.Job.BeforeWrite = func(ctx context.Context, _ int64) error {
			if batches++; batches == after {
				cancel(errors.New("somebody asked"))
				<-ctx.Done()
			}
			return nil
		}
		b.Exec("DROP TABLE IF EXISTS members")
		s, err := b.Run(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want context.Canceled", err)
		}
		if got := b.Query("SELECT count(*) FROM members"); got != strconv.FormatInt(s.Counts.Inserted, 10) || s.Counts.Retrieved != s.Counts.Inserted {
			t.Errorf("the table has %s rows, the counts are %+v", got, s.Counts)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := b.Run(ctx); !errors.Is(err, context.Canceled) || s.Counts.Retrieved != 0 {
		t.Errorf("canceled before: %v, %+v", err, s.Counts)
	}
}

// Waiting for another writer of the database must not outlast the run.
func TestCancelWhileTheDatabaseIsLocked(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	b.Succeed(run.Counts{Total: 1, Retrieved: 1, Inserted: 1})
	db := b.Open()
	defer db.Close()
	other, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := b.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("took %v", took)
	}
}

func TestProgressNeverGoesBackwards(t *testing.T) {
	b := pipelinetest.New(t)
	pipelinetest.MemberFile(t, filepath.Join(b.Folder, "members.csv"), 50_000)
	b.Mapping("id", "ID", "name", "FirstName")
	var m pipeline.Meter
	var last pipeline.Snapshot
	seen := map[float64]bool{}
	b.Job.BeforeWrite = func(context.Context, int64) error {
		now := m.Snapshot()
		if now.PercentComplete < last.PercentComplete || now.PercentComplete >= 100 || now.Counts.Retrieved < last.Counts.Retrieved {
			t.Errorf("after %+v came %+v", last, now)
		}
		if now.Message != "Writing to the table members" {
			t.Errorf("the message is %q", now.Message)
		}
		seen[now.PercentComplete] = true
		last = now
		return nil
	}
	if err := pipeline.Run(t.Context(), b.Job, &m); err != nil {
		t.Fatal(err)
	}
	if len(seen) < 10 {
		t.Errorf("only %d different percentages", len(seen))
	}
	if m.Snapshot().PercentComplete != 100 {
		t.Errorf("ended at %v%%", m.Snapshot().PercentComplete)
	}
}

// Memory does not grow with the number of rows.
func TestMemoryIsFlat(t *testing.T) {
	b := pipelinetest.New(t)
	b.Mapping("id", "ID", "name", `FirstName + " " + LastName`)
	peak := func(rows int) (highest uint64) {
		pipelinetest.MemberFile(t, filepath.Join(b.Folder, "members.csv"), rows)
		b.ToFile(task.Replace)
		runtime.GC()
		b.Job.BeforeWrite = func(context.Context, int64) error {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			highest = max(highest, stats.HeapInuse+stats.StackInuse)
			return nil
		}
		if _, err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		return highest
	}
	peak(20_000) // what is only allocated once
	small, large := peak(20_000), peak(160_000)
	t.Logf("peak %d KiB for 20,000 rows, %d KiB for 160,000", small>>10, large>>10)
	// All rows at once would take 18 MiB more.
	if large > small+8<<20 {
		t.Errorf("peak %d KiB for 20,000 rows, %d KiB for 160,000", small>>10, large>>10)
	}
}

// What a slow service has given is in the database while the service keeps the next row.
func TestSlowServiceIsSeenInTime(t *testing.T) {
	pipeline.PassBatches(t)
	b := pipelinetest.New(t)
	written := make(chan struct{})
	b.FromService(func(w http.ResponseWriter, r *http.Request) {
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
	b.Job.BeforeWrite = func(_ context.Context, row int64) error {
		if row == 1101 {
			close(written)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	if s, err := b.Run(ctx); err != nil || s.Counts.Inserted != 1102 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A row whose expression was ended with the run has not failed.
func TestARowIsNotFailedByTheEndOfTheRun(t *testing.T) {
	for name, rows := range map[string]int{"at hand": 1, "beside the writing": 1000} {
		ends := 50 * time.Millisecond
		proctest.Until(t, func() error {
			b := pipelinetest.New(t)
			b.Write("members.csv", "ID,Name\n"+strings.Repeat("1,Ann\n", rows))
			// Each takes nearly all the steps that it may, and together they take more than the row may.
			b.Job.Task.Where = `ID == "1" and all(1..90000, # > 0)`
			for i := range 200 {
				b.Job.Task.Mapping = append(b.Job.Task.Mapping, task.Column{Name: fmt.Sprint("busy", i), Expression: `all(1..90000, # > 0)`})
			}
			rejected := b.Reject()
			b.Job.BeforeWrite = func(context.Context, int64) error { t.Errorf("%s: something is written", name); return nil }
			ctx, cancel := context.WithTimeout(t.Context(), ends)
			s, err := b.Run(ctx)
			cancel()
			if said := fmt.Sprint(err, *rejected); strings.Contains(said, "more than 2,000,000 steps") {
				ends = ends * 4 / 5 // this machine is faster, or was too busy to end the run in time
				return fmt.Errorf("the row had taken its steps before the run ended: %s", said)
			}
			if !errors.Is(err, context.DeadlineExceeded) || s.Counts.Retrieved != 0 || len(*rejected) != 0 {
				t.Errorf("%s: %v, %+v, rejected %q", name, err, s.Counts, *rejected)
			}
			return nil
		})
	}
}

// An expression that goes beyond its bounds fails its row, and no other.
func TestAnExpressionBeyondItsBoundsFailsItsRow(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n2,900000\n3,Cy\n")
	b.Job.Task.Where = `ID != "2" or any(1..int(Name), any(1..900000, # < 0))`
	b.Job.Task.MaxRowErrors = 1
	rejected := b.Reject()
	s, err := b.Run(t.Context())
	const want = `2 where cannot be computed: any, at character 32 of the expression ID != "2" or any(1..int(Name), any(1..900000, # < 0)): it takes more than 1,000,000 steps 2,900000`
	if err != nil || s.Counts.Inserted != 2 || s.Counts.Failed != 1 || len(*rejected) != 1 || (*rejected)[0] != want {
		t.Errorf("%v, %+v, rejected %q", err, s.Counts, *rejected)
	}
}

// A run that has ended maps no row any more, also where nothing is to be written and nothing loops.
func TestNoRowIsMappedAfterTheEndOfTheRun(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n"+strings.Repeat("1,Ann\n", 100))
	b.Job.Task.Where = "false"
	ctx, cancel := context.WithCancel(t.Context())
	b.Job.Task.Destination = &task.CSVDestination{Connection: "drop", Path: "out.csv", Action: task.Append}
	cancel()
	if s, err := b.Run(ctx); !errors.Is(err, context.Canceled) || s.Counts.Retrieved != 0 {
		t.Errorf("%v, %+v", err, s.Counts)
	}
}
