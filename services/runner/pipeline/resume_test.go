package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"runhook/services/runner/pipeline/pipelinetest"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// story is several attempts at one run, with the rejected rows that they store.
type story struct {
	b *pipelinetest.Bench
	// token is that of the last attempt, claim its last checkpoint as a claim would have it.
	token uint64
	claim run.Checkpoint
	// chunks are the stored ones, by their only name.
	chunks map[run.RejectedChunks][]run.RejectedRow
	stored int
	// lazy: rejected rows are stored when they must be, so that no checkpoint comes before.
	lazy bool
	// eager: they are stored at once.
	eager bool
	meter pipeline.Meter
}

func newStory(b *pipelinetest.Bench) *story {
	return &story{b: b, chunks: map[run.RejectedChunks][]run.RejectedRow{}}
}

var errStopped = errors.New("the runner was killed")

// attempt runs until a batch reaches the row stop, which is then not written; 0 lets it come to its end.
func (s *story) attempt(stop int64) error {
	s.b.T.Helper()
	s.token++
	var waiting []run.RejectedRow
	var set run.RejectedSet
	job := s.b.Job
	job.Fence = &connector.Fence{Store: "store", Task: "task", Number: 1, Token: s.token}
	job.BeforeWrite = func(_ context.Context, last int64) error {
		if stop > 0 && last >= stop {
			return errStopped
		}
		return nil
	}
	job.Reject = func(_ context.Context, _ []string, r run.RejectedRow) error {
		waiting = append(waiting, r)
		return nil
	}
	job.Stored = func(_ context.Context, now bool) (run.RejectedSet, bool, error) {
		if len(waiting) > 0 && (now || s.eager || !s.lazy && rand.IntN(2) == 0) {
			s.stored++
			set = set.With(s.token, s.stored, int64(len(waiting)), 1)
			s.chunks[run.RejectedChunks{Token: s.token, From: s.stored, To: s.stored}] = waiting
			waiting = nil
		}
		return set, len(waiting) == 0, nil
	}
	s.meter = pipeline.Meter{}
	s.meter.Begin(s.claim)
	err := pipeline.Run(s.b.T.Context(), job, &s.meter)
	s.claim = s.meter.Snapshot().Confirmed
	return err
}

// rejected are the rows that the last checkpoint names.
func (s *story) rejected() (rows []run.RejectedRow) {
	set := s.meter.Snapshot().Confirmed.Rejected
	for at := 1; at <= set.Chunks(); at++ {
		token, chunk, _ := set.Chunk(at)
		rows = append(rows, s.chunks[run.RejectedChunks{Token: token, From: chunk, To: chunk}]...)
	}
	return rows
}

// resumable are the sources that a run can continue in, each of 6,000 rows with ids from 1; every 25th
// has no name, and every 40th is for where to drop.
var resumable = map[string]func(*pipelinetest.Bench){
	"csv": func(b *pipelinetest.Bench) { b.Write("members.csv", resumableText()) },
	"a compressed csv": func(b *pipelinetest.Bench) {
		b.FromZipped(pipelinetest.Gzipped(b.T, resumableText()))
	},
	"a workbook": func(b *pipelinetest.Bench) {
		rows := [][]string{{"ID", "Name", "Keep"}}
		for i := 1; i <= resumableRows; i++ {
			rows = append(rows, resumableRow(i))
		}
		b.Workbook("members.xlsx", rows...)
		b.Job.Task.Source = &task.CSVSource{Connection: "drop", Path: "members.xlsx"}
	},
	"a query": func(b *pipelinetest.Bench) {
		b.Exec("create table people (ID integer primary key, Name text, Keep text); with recursive n(i) as (select 1 union all select i + 1 from n where i < " + strconv.Itoa(resumableRows) +
			") insert into people select i, case when i % 25 = 0 then '' else 'name ' || i end, case when i % 40 = 0 then 'no' else 'yes' end from n")
		b.Job.Task.Source = &task.SQLSource{Connection: "warehouse", Query: "select * from people", OrderBy: []string{"ID"}}
	},
	"pages": func(b *pipelinetest.Bench) {
		b.FromService(func(w http.ResponseWriter, r *http.Request) {
			skip, _ := strconv.Atoi(r.URL.Query().Get("skip"))
			page := []map[string]string{}
			for i := skip + 1; i <= min(skip+700, resumableRows); i++ {
				cells := resumableRow(i)
				page = append(page, map[string]string{"ID": cells[0], "Name": cells[1], "Keep": cells[2]})
			}
			_ = json.NewEncoder(w).Encode(page)
		}, task.HTTPSource{Path: "/", Next: &task.NextPage{Offset: "skip"}})
	},
	"an IQA": func(b *pipelinetest.Bench) {
		site := b.FromIMIS(resumableRows)
		site.SetQueries(imissite.Query{
			Path:    "$/Members",
			Columns: []imissite.Column{{Name: "ID", Type: "String"}, {Name: "Name", Type: "String"}, {Name: "Keep", Type: "String"}},
			Count:   resumableRows,
			Row: func(i int) []any {
				cells := resumableRow(i + 1)
				return []any{cells[0], cells[1], cells[2]}
			},
		})
	},
}

const resumableRows = 6_000

func resumableRow(i int) []string {
	name, keep := "name "+strconv.Itoa(i), "yes"
	if i%25 == 0 {
		name = ""
	}
	if i%40 == 0 {
		keep = "no"
	}
	return []string{strconv.Itoa(i), name, keep}
}

func resumableText() string {
	var text strings.Builder
	text.WriteString("ID,Name,Keep\n")
	for i := 1; i <= resumableRows; i++ {
		text.WriteString(strings.Join(resumableRow(i), ",") + "\n")
	}
	return text.String()
}

// A run that is stopped again and again continues each time behind its last batch, and ends with the
// rows, the counts, the errors and the rejected rows of one that nothing has disturbed.
func TestRunContinues(t *testing.T) {
	for name, from := range resumable {
		for _, action := range []task.Action{task.Insert, task.Upsert} {
			t.Run(name+"/"+string(action), func(t *testing.T) {
				t.Parallel()
				seed := uint64(time.Now().UnixNano())
				t.Logf("seed %d", seed)
				random := rand.New(rand.NewPCG(seed, 0))
				b := pipelinetest.New(t)
				from(b)
				b.Exec("create table members (id integer primary key, name text not null check (name <> ''))")
				b.Mapping("id", "int(ID)", "name", "Name")
				b.Job.Task.Where = `Keep == "yes"`
				b.Table().Action = action
				s := newStory(b)
				stops, err := 0, errStopped
				for at := int64(1); errors.Is(err, errStopped); stops++ {
					err = s.attempt(at)
					at += 1 + random.Int64N(row.MaxRows)
				}
				if err != nil {
					t.Fatal(err)
				}
				const dropped, failed = resumableRows / 40, resumableRows/25 - resumableRows/200
				want := run.Counts{
					Total: resumableRows, Retrieved: resumableRows, Inserted: resumableRows - dropped - failed,
					Skipped: dropped, Failed: failed,
				}
				end := s.meter.Snapshot()
				if stops < 4 || end.Counts != want || end.Dropped != 0 || len(end.Errors) != run.MaxListedErrors {
					t.Errorf("after %d stops: %+v, %d dropped, %d listed; want %+v", stops, end.Counts, end.Dropped, len(end.Errors), want)
				}
				for i, e := range end.Errors[1:] {
					if e.Row <= end.Errors[i].Row {
						t.Errorf("the listed errors are out of order: %v", end.Errors)
					}
				}
				if got := b.Query("select count(*), count(distinct id), sum(id % 40 = 0 or id % 25 = 0) from members"); got != fmt.Sprint(want.Inserted, want.Inserted, 0) {
					t.Errorf("the table has %s", got)
				}
				var last int64
				rejected := s.rejected()
				for _, r := range rejected {
					if r.Row <= last || r.Row%25 != 0 || r.Row%200 == 0 {
						t.Fatalf("rejected row %d comes after %d", r.Row, last)
					}
					last = r.Row
				}
				if len(rejected) != failed {
					t.Errorf("%d rejected rows, want %d", len(rejected), failed)
				}
			})
		}
	}
}

// Rows are appended once, though the checkpoint is behind what was written, and though the last write was
// cut short. What another writer has put there meanwhile stays.
func TestAppendContinues(t *testing.T) {
	var want strings.Builder
	for i := 1; i <= resumableRows; i++ {
		want.WriteString(resumableRow(i)[0] + "," + resumableRow(i)[1] + "\n")
	}
	for name, c := range map[string]struct {
		there string // before the run
		// torn is how many bytes of the file are lost with the killed writer, foreign what another one adds.
		torn    int64
		foreign string
	}{
		"a new file":                  {"", 0, ""},
		"a new file, torn":            {"", 1234, ""},
		"a file with rows":            {"id,name\nx,y\n", 0, ""},
		"a file without its line end": {"id,name\nx,y", 777, ""},
		"another writer came":         {"id,name\nx,y\n", 0, "foreign,row\n"},
	} {
		for _, row0 := range []bool{false, true} {
			b := pipelinetest.New(t)
			resumable["csv"](b)
			b.Mapping("id", "ID", "name", "Name")
			b.ToFile(task.Append)
			if c.there != "" {
				b.Write("out.csv", c.there)
			}
			s := newStory(b)
			if err := s.attempt(row.MaxRows + 1); !errors.Is(err, errStopped) {
				t.Fatal(err)
			}
			old := s.claim
			if err := s.attempt(2*row.MaxRows + 1); !errors.Is(err, errStopped) {
				t.Fatal(err)
			}
			if s.claim.Row <= old.Row {
				t.Fatalf("%+v", s.claim)
			}
			s.claim = old // the claim had only been renewed so far
			if row0 {
				s.claim = run.Checkpoint{Writing: true, Length: int64(len(c.there))}
			}
			path := filepath.Join(b.Folder, "out.csv")
			if err := os.WriteFile(path, []byte(b.Read("out.csv")[:int64(len(b.Read("out.csv")))-c.torn]+c.foreign), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.attempt(0); err != nil {
				t.Fatal(err)
			}
			got := b.Read("out.csv")
			wantText := want.String()
			before := c.there
			if before == "" {
				before = "id,name\n"
			}
			if !strings.HasSuffix(before, "\n") {
				before += "\n"
			}
			if c.foreign != "" {
				got = strings.Replace(got, c.foreign, "", 1)
			}
			if got != before+wantText {
				t.Errorf("%s, from row %d: %d bytes with %d lines, want %d bytes with %d", name, s.claim.Row, len(got), strings.Count(got, "\n"), len(before+wantText), strings.Count(before+wantText, "\n"))
			}
			if end := s.meter.Snapshot().Counts; end.Inserted != resumableRows {
				t.Errorf("%s: %+v", name, end)
			}
		}
	}
}

// While rejected rows wait to be stored, the checkpoint stays where it was, and so does the length that
// goes with it.
func TestAppendContinuesBeforeTheFirstCheckpoint(t *testing.T) {
	b := pipelinetest.New(t)
	resumable["csv"](b)
	b.Mapping("id", `int(Name == "" ? "none" : ID)`)
	b.ToFile(task.Append)
	b.Write("out.csv", "id\nearlier\n")
	s := newStory(b)
	s.lazy = true
	for _, stop := range []int64{row.MaxRows + 1, 2*row.MaxRows + 1} {
		if err := s.attempt(stop); !errors.Is(err, errStopped) || s.claim.Row != 0 || !s.claim.Writing {
			t.Fatalf("%v, %+v", err, s.claim)
		}
	}
	if err := s.attempt(0); err != nil {
		t.Fatal(err)
	}
	const failed = resumableRows / 25
	if got := strings.Count(b.Read("out.csv"), "\n"); got != 2+resumableRows-failed || len(s.rejected()) != failed {
		t.Errorf("%d lines and %d rejected rows, want %d and %d", got, len(s.rejected()), 2+resumableRows-failed, failed)
	}
}

// A file that was changed since is not continued in, whatever was changed of it.
func TestChangedFile(t *testing.T) {
	for change, edit := range map[string]func(b *pipelinetest.Bench){
		"its end": func(b *pipelinetest.Bench) { b.Write("members.csv", resumableText()+"20000,more,yes\n") },
		"its rows": func(b *pipelinetest.Bench) {
			b.Write("members.csv", strings.Replace(resumableText(), "name 1,", "Name 1,", 1))
		},
		"its time": func(b *pipelinetest.Bench) {
			then := time.Now().Add(-time.Hour)
			if err := os.Chtimes(filepath.Join(b.Folder, "members.csv"), then, then); err != nil {
				b.T.Fatal(err)
			}
		},
	} {
		t.Run(change, func(t *testing.T) {
			for _, action := range []task.Action{task.Insert, task.Upsert} {
				b := pipelinetest.New(t)
				resumable["csv"](b)
				b.Mapping("id", "int(ID)", "name", "Name")
				b.Table().Action = action
				s := newStory(b)
				if err := s.attempt(2*row.MaxRows + 1); !errors.Is(err, errStopped) {
					t.Fatal(err)
				}
				edit(b)
				written := s.claim.Row // batches may be small on a busy machine
				err := s.attempt(0)
				switch counts := s.meter.Snapshot().Counts; {
				case action == task.Upsert:
					if err != nil || counts.Retrieved < resumableRows || counts.Inserted+counts.Updated+counts.Unchanged != counts.Retrieved || counts.Unchanged < written-1 {
						t.Errorf("an upsert must start over: %v, %+v", err, counts)
					}
				case err == nil || !strings.Contains(err.Error(), "The run was interrupted, and the source has changed since") || !strings.Contains(err.Error(), fmt.Sprintf("Rows 1 to %d of the source were written;", written)):
					t.Errorf("an insert must not start over: %v", err)
				case written < 1 || counts.Inserted != written || b.Query("select count(*) from members") != strconv.FormatInt(written, 10):
					t.Errorf("%+v", counts)
				}
			}
		})
	}
}

// A source whose rows have moved is noticed by the last one that was written, if that is found by its number.
func TestMovedRows(t *testing.T) {
	b := pipelinetest.New(t)
	resumable["a query"](b)
	b.Job.Task.Source.(*task.SQLSource).OrderBy = []string{"Keep", "ID"} // a text is no place
	b.Mapping("id", "ID", "name", "Name")
	b.Table().Action = task.Insert
	s := newStory(b)
	if err := s.attempt(2*row.MaxRows + 1); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	written := strconv.FormatInt(s.claim.Row, 10)
	b.Exec("delete from people where id = 17")
	if err := s.attempt(0); err == nil || !strings.Contains(err.Error(), "the source has changed since") {
		t.Errorf("got %v", err)
	}
	if got := b.Query("select count(*) from members"); got != written {
		t.Errorf("the table has %s, want %s", got, written)
	}
	b.Exec("insert into people values (17, 'name 17', 'yes'); delete from people where id > 100")
	if err := s.attempt(0); err == nil || !strings.Contains(err.Error(), "the source has changed since") {
		t.Errorf("a shorter source: %v", err)
	}
}

// Without an order there is nothing to continue in: an insert ends, an upsert starts over, and what the
// attempts before had counted as errors stays counted.
func TestQueryWithoutOrder(t *testing.T) {
	for _, action := range []task.Action{task.Insert, task.Upsert} {
		b := pipelinetest.New(t)
		resumable["a query"](b)
		b.Job.Task.Source.(*task.SQLSource).OrderBy = nil
		b.Exec("create table members (id integer primary key, name text not null check (name <> ''))")
		b.Mapping("id", "ID", "name", "Name")
		b.Table().Action = action
		s := newStory(b)
		if err := s.attempt(1); !errors.Is(err, errStopped) {
			t.Fatal(err)
		}
		if err := s.attempt(2*row.MaxRows + 1); !errors.Is(err, errStopped) {
			t.Fatalf("nothing was written before, so that it can begin: %v", err)
		}
		was := s.claim
		err := s.attempt(0)
		end := s.meter.Snapshot()
		const failed = resumableRows / 25
		switch {
		case action == task.Insert:
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("no order to continue in. Rows 1 to %d of the source were written; starting over would insert them twice", was.Row)) {
				t.Errorf("got %v", err)
			}
		case err != nil || end.Counts.Retrieved != resumableRows || was.Row < 25 || end.Counts.Unchanged != was.Counts.Inserted || end.Counts.Failed != failed || end.Dropped != was.Counts.Failed:
			t.Errorf("%v, %+v, %d dropped", err, end.Counts, end.Dropped)
		case len(s.rejected()) != failed:
			t.Errorf("%d rejected rows", len(s.rejected()))
		}
	}
}

// Nor is a file continued in where the source has no order, once anything may have been written.
func TestAppendWithoutOrder(t *testing.T) {
	b := pipelinetest.New(t)
	resumable["a query"](b)
	b.Job.Task.Source.(*task.SQLSource).OrderBy = nil
	b.Mapping("id", "ID")
	b.ToFile(task.Append)
	s := newStory(b)
	if err := s.attempt(1); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	err := s.attempt(0)
	if err == nil || !strings.Contains(err.Error(), "Rows of the source from the first on may have been written; starting over would append them twice") {
		t.Errorf("got %v", err)
	}
}

// An attempt that another one has overtaken writes nothing more; nor does one that only comes to the
// destination when the other has ended.
func TestFence(t *testing.T) {
	b := pipelinetest.New(t)
	resumable["pages"](b)
	b.Mapping("id", "int(ID)", "name", "Name")
	b.Table().Action = task.Insert
	service, set := b.Job.Task.Source.(*task.HTTPSource), b.Job.Connections
	pages, err := set.HTTP(service.Connection)
	if err != nil {
		t.Fatal(err)
	}
	// A page in the middle comes to the first attempt when the second has ended.
	second := newStory(b)
	second.token = 1
	var came atomic.Bool
	ended := make(chan struct{})
	proxy := httputil.NewSingleHostReverseProxy(pages.URL)
	b.FromService(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("skip") == "3500" && !came.Swap(true) {
			defer close(ended)
			if err := second.attempt(0); err != nil {
				t.Error(err)
			}
		}
		proxy.ServeHTTP(w, r)
	}, *service)
	b.Mapping("id", "int(ID)", "name", "Name")
	first := newStory(b)
	if err := first.attempt(0); !errors.Is(err, connector.ErrLost) {
		t.Errorf("the attempt that was overtaken: %v", err)
	}
	<-ended // the first may be told while the second is still writing
	if got := second.meter.Snapshot().Counts; got.Inserted != resumableRows {
		t.Errorf("the second attempt counts %+v", got)
	}
	if got := b.Query("select count(*), count(distinct id) from members"); got != fmt.Sprint(resumableRows, resumableRows) {
		t.Errorf("the table has %s", got)
	}
	if got := b.Query("select token from runhook_checkpoint where store = 'store' and task = 'task' and run = 1"); got != "2" {
		t.Errorf("the table of checkpoints has %s", got)
	}
	first.token = 0
	if err := first.attempt(0); !errors.Is(err, connector.ErrLost) {
		t.Errorf("an attempt with an older token: %v", err)
	}

	// The row goes when the run has ended. Who comes then is told so by the claim.
	over := b.Job.Job
	over.Fence = &connector.Fence{Store: "store", Task: "task", Number: 1, Token: 2}
	if err := (sqldb.DestinationKind{}).Forget(t.Context(), over); err != nil {
		t.Fatal(err)
	}
	late := b.Job
	late.Fence = &connector.Fence{Store: "store", Task: "task", Number: 1, Token: 1}
	late.Confirm = func(context.Context) error { return errStopped }
	if err := pipeline.Run(t.Context(), late, &pipeline.Meter{}); !errors.Is(err, errStopped) {
		t.Errorf("an attempt whose claim is gone: %v", err)
	}
	if got := b.Query("select count(*) from members"); got != strconv.Itoa(resumableRows) {
		t.Errorf("the table has %s rows", got)
	}
}

// A database in which the table of checkpoints cannot be says so before the first row.
func TestNoPlaceForCheckpoints(t *testing.T) {
	b := pipelinetest.New(t)
	resumable["csv"](b)
	b.Exec("create view runhook_checkpoint as select 1 as store")
	s := newStory(b)
	err := s.attempt(0)
	if err == nil || !strings.Contains(err.Error(), "he runner keeps in the table runhook_checkpoint of connection warehouse how far a run is, and cannot make or use it there; let its account") {
		t.Errorf("got %v", err)
	}
	if got := s.meter.Snapshot().Counts.Retrieved; got != 0 {
		t.Errorf("%d rows were read", got)
	}
}

// What an earlier attempt is still writing is waited for, and counts.
func TestTakeoverWaitsForAnOpenTransaction(t *testing.T) {
	b := pipelinetest.New(t)
	resumable["csv"](b)
	b.Mapping("id", "int(ID)", "name", "Name")
	b.Table().Action = task.Insert
	first, second := newStory(b), newStory(b)
	inside, goOn := make(chan struct{}), make(chan struct{})
	job := b.Job
	job.Fence = &connector.Fence{Store: "store", Task: "task", Number: 1, Token: 1}
	waited := false
	job.BeforeWrite = func(_ context.Context, last int64) error {
		if last >= 2*row.MaxRows && !waited {
			waited = true
			close(inside)
			<-goOn
		}
		return nil
	}
	ended := make(chan error)
	go func() { ended <- pipeline.Run(t.Context(), job, &first.meter) }()
	<-inside
	second.token = 1
	go func() { ended <- second.attempt(0) }()
	time.AfterFunc(100*time.Millisecond, func() { close(goOn) }) // whoever is first, the rows are the same
	for range 2 {
		if err := <-ended; err != nil && !errors.Is(err, connector.ErrLost) {
			t.Error(err)
		}
	}
	if got := b.Query("select count(*), count(distinct id) from members"); got != fmt.Sprint(resumableRows, resumableRows) {
		t.Errorf("the table has %s", got)
	}
	if got := second.meter.Snapshot().Counts; got.Inserted != resumableRows {
		t.Errorf("the second attempt counts %+v", got)
	}
}

// A run that its rows have ended ends so again, when the runner was killed before it could say so.
func TestVerdictIsKept(t *testing.T) {
	for _, stop := range []bool{false, true} {
		b := pipelinetest.New(t)
		resumable["csv"](b)
		b.Exec("create table members (id integer primary key, name text not null check (name <> ''))")
		b.Mapping("id", "int(ID)", "name", "Name")
		b.Job.Task.MaxRowErrors = 100
		want := "ore failed rows than max_row_errors allows (100)"
		if stop {
			b.Job.Task.OnRowError = task.StopOnRowError
			want = "topped at row 25, as on_row_error asks: "
		}
		s := newStory(b)
		first := s.attempt(0)
		counts := s.meter.Snapshot().Counts
		again := s.attempt(0)
		if first == nil || again == nil || !strings.Contains(first.Error(), want) || !strings.Contains(again.Error(), want) {
			t.Errorf("first %v, then %v", first, again)
		}
		now := s.meter.Snapshot()
		now.Counts.Total = counts.Total // it is counted beside, and may not be known yet
		if now.Counts != counts || len(s.rejected()) != int(counts.Failed) {
			t.Errorf("first %+v, then %+v with %d rejected rows", counts, now.Counts, len(s.rejected()))
		}
	}
}

// An insert goes on where it was, and stores nothing twice.
func TestPanelInsertContinues(t *testing.T) {
	b := pipelinetest.New(t)
	site, _ := b.ToPanel(task.Insert)
	b.Job.Task.Destination.(*task.IMISDestination).Match = nil
	b.Write("members.csv", "ID,Name\n101,A\n102,TOOLONG\n103,C\n101,D\n102,E\n")
	s := newStory(b)
	s.eager = true // rows behind a rejected one that waits to be stored are not confirmed, and come again
	if err := s.attempt(4); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if err := s.attempt(0); err != nil {
		t.Fatal(err)
	}
	b.Counts(s.meter.Snapshot(), run.Counts{Total: 5, Retrieved: 5, Inserted: 4, Failed: 1})
	codes := ""
	for _, row := range site.Rows("My_Panel") {
		codes += row["Code"].(string)
	}
	if codes != "ACDE" {
		t.Errorf("stored %s", codes)
	}
}
