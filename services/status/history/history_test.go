package history_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	_ "modernc.org/sqlite"

	"runhook/services/status/history"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/zone"
)

func TestMain(m *testing.M) {
	history.SetPauses()
	proctest.Main(m)
}

// kept is an index that is kept until the end of the test at the latest.
type kept struct {
	*history.Index
	t    testing.TB
	dir  string
	log  *proctest.Output
	stop func()
}

func keep(t testing.TB, store *bustest.Store, dir string) *kept {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	log := proctest.NewOutput()
	k := &kept{t: t, dir: dir, log: log, Index: history.New(history.Options{Runs: store.Open("history").Runs, Dir: dir, Log: zerolog.New(log)})}
	ended := make(chan struct{})
	go func() { defer close(ended); k.Run(ctx) }()
	k.stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(k.stop)
	return k
}

// fresh waits until the index has everything.
func (k *kept) fresh() *kept {
	k.t.Helper()
	proctest.Until(k.t, func() error {
		if p := k.Fresh(k.t.Context(), time.Second); !p.Complete {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
	return k
}

// numbers are the runs that a query has, once the index is complete.
func (k *kept) numbers(q history.Query) (numbers []run.Number) {
	k.t.Helper()
	for _, l := range k.fresh().list(q) {
		numbers = append(numbers, l.ImportID)
	}
	return numbers
}

func (k *kept) list(q history.Query) []run.Listed {
	k.t.Helper()
	listed, err := k.List(k.t.Context(), q, 1000)
	if err != nil && !errors.Is(err, history.ErrAnew) {
		k.t.Fatal(err)
	}
	return listed
}

// eventually waits until a query has these runs.
func (k *kept) eventually(q history.Query, want ...run.Number) {
	k.t.Helper()
	proctest.Until(k.t, func() error {
		if got := k.numbers(q); !slices.Equal(got, want) {
			return fmt.Errorf("%v, want %v", got, want)
		}
		return nil
	})
}

// sql changes the file of an index that nobody keeps.
func (k *kept) sql(text string, values ...any) {
	k.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(k.dir, "history.db"))
	if err != nil {
		k.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(text, values...); err != nil {
		k.t.Fatal(err)
	}
}

// end executes a run: it ends with some counts.
func end(t testing.TB, store *bustest.Store, request run.Request, outcome run.Outcome, message string, failed int64) run.Number {
	t.Helper()
	n := bustest.Submit(t, store.Bus, request)
	finish(t, store, request, n, outcome, message, failed)
	return n
}

func finish(t testing.TB, store *bustest.Store, request run.Request, n run.Number, outcome run.Outcome, message string, failed int64) {
	t.Helper()
	claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	doc := run.QueuedDocument(request, n)
	doc.Begin(time.Now(), time.Now(), 1)
	doc.SetCounts(run.Counts{Retrieved: 7 + failed, Inserted: 7, Failed: failed})
	doc.End(outcome, message, time.Now())
	if err := claim.Finish(t.Context(), doc, nil); err != nil {
		t.Fatal(err)
	}
}

func with(request run.Request, change func(*run.Request)) run.Request {
	change(&request)
	return request
}

func outcome(o run.Outcome) *run.Outcome { return &o }

// A list has each run once, the newest first, with what its document says, and a filter leaves those that fit.
func TestRunsAreFound(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	one, other := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	other.TaskName = "Other"
	k := keep(t, store, t.TempDir())

	long := time.Now().Add(-100 * 24 * time.Hour).UTC().Truncate(time.Millisecond)
	first := end(t, store, with(one, func(r *run.Request) { r.CreatedOn = long }), run.Success, "7 rows processed", 0)
	second := end(t, store, with(other, func(r *run.Request) { r.Trigger, r.Operator, r.CorrelationID = run.CLI, "ann", "order 7" }), run.Failed, "There is no file 100%_sure.csv", 3)
	third := end(t, store, with(one, func(r *run.Request) {
		r.Parameters = task.Values{"State": {Values: []string{"AK", "TX"}, From: task.FromRequest}, "City": {From: task.FromSource}}
	}), run.Canceled, "An administrator canceled the run", 0)
	fourth := end(t, store, with(one, func(r *run.Request) { r.DryRun, r.RepeatOf = true, third }), run.Success, "8 rows processed", 1)
	fifth := bustest.Submit(t, store.Bus, with(one, func(r *run.Request) {
		r.Parameters = task.Values{"State": {Values: []string{"AK"}, From: task.FromTask}}
	}))

	hour := time.Hour
	for name, c := range map[string]struct {
		query history.Query
		want  []run.Number
	}{
		"all":                     {history.Query{}, []run.Number{fifth, fourth, third, second, first}},
		"a task":                  {history.Query{Tasks: []task.ID{other.Task}}, []run.Number{second}},
		"two tasks":               {history.Query{Tasks: []task.ID{one.Task, other.Task}}, []run.Number{fifth, fourth, third, second, first}},
		"no task's":               {history.Query{Tasks: []task.ID{task.NewID()}}, nil},
		"successes":               {history.Query{Outcome: outcome(run.Success)}, []run.Number{fourth, first}},
		"failures":                {history.Query{Outcome: outcome(run.Failed)}, []run.Number{second}},
		"canceled":                {history.Query{Outcome: outcome(run.Canceled)}, []run.Number{third}},
		"open":                    {history.Query{Outcome: outcome("")}, []run.Number{fifth}},
		"with failed rows":        {history.Query{Rejected: true}, []run.Number{fourth, second}},
		"by the command line":     {history.Query{Trigger: "cli"}, []run.Number{second}},
		"by a webhook":            {history.Query{Trigger: "webhook"}, []run.Number{fifth, third, first}},
		"dry":                     {history.Query{Trigger: "dry run"}, []run.Number{fourth}},
		"by nothing known":        {history.Query{Trigger: "page"}, nil},
		"a correlation":           {history.Query{Correlation: "order 7"}, []run.Number{second}},
		"a text":                  {history.Query{Text: "ROWS processed"}, []run.Number{fourth, first}},
		"a text with wildcards":   {history.Query{Text: "100%_sure"}, []run.Number{second}},
		"a text that is a match":  {history.Query{Text: "1_0"}, nil},
		"a parameter":             {history.Query{Parameters: [][2]string{{"state", "AK"}}}, []run.Number{fifth, third}},
		"two values of it":        {history.Query{Parameters: [][2]string{{"State", "AK"}, {"State", "TX"}}}, []run.Number{third}},
		"no such value":           {history.Query{Parameters: [][2]string{{"State", "ak"}}}, nil},
		"since":                   {history.Query{Since: time.Now().Add(-hour)}, []run.Number{fifth, fourth, third, second}},
		"until":                   {history.Query{Until: time.Now().Add(-hour)}, []run.Number{first}},
		"until its very moment":   {history.Query{Until: long}, nil},
		"since its very moment":   {history.Query{Since: long, Until: long.Add(time.Millisecond)}, []run.Number{first}},
		"before a number":         {history.Query{Before: third}, []run.Number{second, first}},
		"before the first":        {history.Query{Before: first}, nil},
		"several":                 {history.Query{Tasks: []task.ID{one.Task}, Outcome: outcome(run.Success), Rejected: true}, []run.Number{fourth}},
		"several that do not fit": {history.Query{Tasks: []task.ID{other.Task}, Outcome: outcome(run.Success)}, nil},
	} {
		if got := k.numbers(c.query); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if page, err := k.List(t.Context(), history.Query{Before: fifth}, 2); err != nil || len(page) != 2 || page[0].ImportID != fourth || page[1].ImportID != third {
		t.Errorf("a page of two is %+v, %v", page, err)
	}

	status, err := store.Runs.Lookup(t.Context(), other.Task, second)
	if err != nil {
		t.Fatal(err)
	}
	want := status.Document.Listed()
	want.Operator = "ann"
	got := k.list(history.Query{Before: third})[0]
	if fmt.Sprintf("%+v", plain(got)) != fmt.Sprintf("%+v", plain(want)) {
		t.Errorf("listed as\n%+v, want\n%+v", plain(got), plain(want))
	}
	if repeat := k.list(history.Query{Trigger: "dry run"})[0]; repeat.RepeatOf != third {
		t.Errorf("%+v", repeat)
	}

	// It ends later.
	finish(t, store, one, fifth, run.Failed, "no", 0)
	if got := k.numbers(history.Query{Outcome: outcome(run.Failed)}); !slices.Equal(got, []run.Number{fifth, second}) {
		t.Errorf("failed: %v", got)
	}
	if got := k.numbers(history.Query{Parameters: [][2]string{{"State", "AK"}}}); !slices.Equal(got, []run.Number{fifth, third}) {
		t.Errorf("with its parameter: %v", got)
	}
	// No value of a parameter is in the files.
	k.stop()
	for _, name := range []string{"history.db", "history.db-wal"} {
		data, err := os.ReadFile(filepath.Join(k.dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) || strings.Contains(string(data), "State") {
			t.Errorf("%s has a parameter, %v", name, err)
		}
	}
}

// What only requests tell is there also where they are read long after the final documents: of more runs than are written
// at once.
func TestRequestsBehindTheirFinalDocuments(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	var all, alaska, byAnn, repeats []run.Number
	for i := range 450 {
		n := end(t, store, with(request, func(r *run.Request) {
			if i%3 == 0 {
				r.Parameters = task.Values{"State": {Values: []string{"AK"}, From: task.FromRequest}}
			}
			if i%5 == 0 {
				r.Operator = "ann"
			}
			if i%7 == 0 {
				r.RepeatOf = 1
			}
		}), run.Success, "done", 0)
		all = append([]run.Number{n}, all...)
		if i%3 == 0 {
			alaska = append([]run.Number{n}, alaska...)
		}
		if i%5 == 0 {
			byAnn = append(byAnn, n)
		}
		if i%7 == 0 {
			repeats = append(repeats, n)
		}
	}
	k := keep(t, store, t.TempDir())
	if got := k.numbers(history.Query{}); !slices.Equal(got, all) {
		t.Errorf("all are %v", got)
	}
	if got := k.numbers(history.Query{Parameters: [][2]string{{"State", "AK"}}}); !slices.Equal(got, alaska) {
		t.Errorf("with the parameter: %v, want %v", got, alaska)
	}
	for _, l := range k.list(history.Query{}) {
		if (l.Operator == "ann") != slices.Contains(byAnn, l.ImportID) || (l.RepeatOf == 1) != slices.Contains(repeats, l.ImportID) {
			t.Errorf("run %s is by %q and repeats %s", l.ImportID, l.Operator, l.RepeatOf)
		}
	}
}

// A text is found in any letter case of any alphabet, and however its letters are composed.
func TestTextsAreFoundInAnyLetterCase(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	k := keep(t, store, t.TempDir())
	messages := []string{
		"There is no file MÜLLER.csv", "There is no file Zoe\u0308.csv", "Straße 7 is refused", "ΔΕΛΤΑ ΣΙΓΜΑΣ", "Ёлка", "a plain one, 100% k", "İstanbul",
	}
	for _, message := range messages {
		end(t, store, request, run.Failed, message, 0)
	}
	for text, want := range map[string][]run.Number{
		"müller": {1}, "Müller": {1}, "m\u0075\u0308ller": {1}, "MÜLLER.CSV": {1}, "muller": nil,
		"zoë": {2}, "ZOË": {2}, "zoe.csv": nil,
		"STRASSE": {3}, "straße": {3}, "STRAẞE": {3},
		"σιγμας": {4}, "ΣΙΓΜΑΣ": {4}, "δέλτα": nil,
		"ёлка": {5}, "ЁЛКА": {5},
		"PLAIN": {6}, "\u212a": {6}, "100%": {6}, "1_0": nil, // U+212A is the Kelvin sign, whose small letter is k
		"no file": {2, 1}, "NO FILE": {2, 1}, "istanbul": nil,
	} {
		if got := k.numbers(history.Query{Text: text}); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// plain is a listed run without pointers, and with times that can be compared.
func plain(l run.Listed) string {
	return fmt.Sprintln(l.ExecuteID, l.ImportID, l.TaskName, l.Status, l.StatusDescription, *l.Success, l.PercentComplete, l.Message, l.RowsProcessed, l.RowsFailed,
		time.Time(l.CreatedOn).UnixMilli(), time.Time(*l.StartedOn).UnixMilli(), time.Time(*l.CompletedOn).UnixMilli(), l.DurationMs, l.ExecutionCount, l.Trigger, l.Operator, l.RepeatOf, l.CorrelationID)
}

// Runs are counted by day and task, in any zone.
func TestRunsAreCounted(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	one, other := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	other.TaskName = "Other"
	at := func(request run.Request, day int, hour, minute int) run.Request {
		request.CreatedOn = time.Date(2026, 10, day, hour, minute, 0, 0, time.UTC)
		return request
	}
	end(t, store, at(one, 1, 22, 14), run.Success, "done", 0)
	end(t, store, at(one, 1, 22, 15), run.Failed, "no", 0)
	end(t, store, at(one, 2, 1, 0), run.Canceled, "no", 0)
	end(t, store, at(other, 2, 1, 0), run.Success, "done", 0)
	bustest.Submit(t, store.Bus, at(one, 2, 23, 59))
	k := keep(t, store, t.TempDir()).fresh()
	count := func(q history.Query, name string) (said []string) {
		t.Helper()
		place, err := zone.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		counts, err := k.Counts(t.Context(), q, place)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range counts {
			said = append(said, fmt.Sprintf("%s %s: %d = %d + %d + %d + %d", c.Day, c.TaskName, c.Runs, c.Success, c.Failed, c.Canceled, c.Open))
		}
		return said
	}
	for name, c := range map[string]struct{ got, want []string }{
		"UTC":          {count(history.Query{}, "UTC"), []string{"2026-10-02 Other: 1 = 1 + 0 + 0 + 0", "2026-10-02 Test: 2 = 0 + 0 + 1 + 1", "2026-10-01 Test: 2 = 1 + 1 + 0 + 0"}},
		"Kathmandu":    {count(history.Query{Tasks: []task.ID{one.Task}}, "Asia/Kathmandu"), []string{"2026-10-03 Test: 1 = 0 + 0 + 0 + 1", "2026-10-02 Test: 3 = 1 + 1 + 1 + 0"}},
		"part":         {count(history.Query{Since: time.Date(2026, 10, 1, 22, 15, 0, 0, time.UTC), Until: time.Date(2026, 10, 2, 1, 0, 0, 0, time.UTC)}, "UTC"), []string{"2026-10-01 Test: 1 = 0 + 1 + 0 + 0"}},
		"no such task": {count(history.Query{Tasks: []task.ID{task.NewID()}}, "UTC"), nil},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
}

// An index goes on where it was: it is not made again at each start.
func TestAnIndexGoesOn(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	first := end(t, store, request, run.Success, "done", 0)
	waiting := bustest.Submit(t, store.Bus, request)
	k := keep(t, store, t.TempDir()).fresh()
	k.stop()
	k.sql("update runs set message = 'marked' where number = ?", int64(first))
	finish(t, store, request, waiting, run.Failed, "no", 0)
	third := end(t, store, request, run.Success, "done", 0)
	k = keep(t, store, k.dir)
	if got := k.numbers(history.Query{}); !slices.Equal(got, []run.Number{third, waiting, first}) {
		t.Errorf("%v", got)
	}
	listed := k.list(history.Query{})
	if listed[2].Message != "marked" || listed[1].Outcome() != run.Failed {
		t.Errorf("%+v", listed)
	}
	if strings.Contains(k.log.String(), "the history is made") {
		t.Errorf("log: %s", k.log)
	}
}

// An index that does not fit is made again, and nothing stops.
func TestAnIndexThatDoesNotFit(t *testing.T) {
	t.Parallel()
	const pages = 4096
	for name, c := range map[string]struct {
		spoil func(t *testing.T, k *kept)
		says  string
	}{
		"no database": {func(t *testing.T, k *kept) {
			write(t, k.dir, "history.db", []byte(strings.Repeat("no database ", 1000)))
		}, "damaged"},
		"half a database":     {func(t *testing.T, k *kept) { check(t, os.Truncate(filepath.Join(k.dir, "history.db"), 2*pages)) }, "damaged"},
		"an empty file":       {func(t *testing.T, k *kept) { write(t, k.dir, "history.db", nil) }, "there was none"},
		"no file":             {func(t *testing.T, k *kept) { check(t, os.Remove(filepath.Join(k.dir, "history.db"))) }, "there was none"},
		"a newer version":     {func(_ *testing.T, k *kept) { k.sql("pragma user_version = 99") }, "version 99"},
		"another store":       {func(_ *testing.T, k *kept) { k.sql("update meta set value = 'another' where name = 'store'") }, "another store"},
		"no table of runs":    {func(_ *testing.T, k *kept) { k.sql("drop table runs") }, "damaged"},
		"no store":            {func(_ *testing.T, k *kept) { k.sql("delete from meta") }, "damaged"},
		"ahead of the store":  {func(_ *testing.T, k *kept) { k.sql("update streams set sequence = 1000 where name = 'RUNS'") }, "lost its end"},
		"another end":         {func(_ *testing.T, k *kept) { k.sql("update streams set stored = stored - 1 where name = 'RUNS'") }, "lost its end"},
		"another end of runs": {func(_ *testing.T, k *kept) { k.sql("update streams set stored = stored - 1 where name = 'KV_runs_0'") }, "lost its end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{})
			request := bustest.Applied(t, store.Bus)
			first := end(t, store, request, run.Failed, "no", 0)
			second := end(t, store, request, run.Failed, "no", 0)
			k := keep(t, store, t.TempDir()).fresh()
			k.stop()
			if name != "no table of runs" && name != "no database" && name != "half a database" {
				k.sql("update runs set message = 'old'")
			}
			c.spoil(t, k)
			k = keep(t, store, k.dir)
			k.eventually(history.Query{Outcome: outcome(run.Failed)}, second, first)
			if listed := k.list(history.Query{}); len(listed) != 2 || listed[0].Message != "no" {
				t.Errorf("%+v", listed)
			}
			if !strings.Contains(k.log.String(), c.says) {
				t.Errorf("log: %s", k.log)
			}
			if info, err := os.Stat(filepath.Join(k.dir, "history.db")); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v %v", info, err)
			}
		})
	}
}

// A file that is damaged while it is used is made again by whoever meets the damage, be it a reader.
func TestAnIndexIsDamagedInUse(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	var want []run.Number
	for range 3 {
		want = append([]run.Number{end(t, store, request, run.Success, strings.Repeat("long ", 2000), 0)}, want...)
	}
	k := keep(t, store, t.TempDir()).fresh()
	k.stop()
	k = keep(t, store, k.dir).fresh() // what was written is in the file itself
	file, err := os.OpenFile(filepath.Join(k.dir, "history.db"), os.O_WRONLY, 0)
	check(t, err)
	info, err := file.Stat()
	check(t, err)
	_, err = file.WriteAt(make([]byte, info.Size()-4096), 4096)
	check(t, errors.Join(err, file.Close()))
	if listed, err := k.List(t.Context(), history.Query{Text: "long"}, 10); !errors.Is(err, history.ErrAnew) { // not: there are none
		t.Errorf("%+v, %v", listed, err)
	}
	k.eventually(history.Query{Text: "long"}, want...)
	k.log.Await(t, "the history is made anew", nil)
}

// The database of another program stays as it is.
func TestAnothersDatabaseStays(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	k := &kept{t: t, dir: t.TempDir()}
	k.sql("create table visits (url text)")
	k = keep(t, store, k.dir)
	k.log.Await(t, "is another program's.*pass --cache", nil)
	if p := k.Fresh(t.Context(), time.Millisecond); p.Missing == nil || p.Complete {
		t.Errorf("%+v", p)
	}
	if _, err := k.List(t.Context(), history.Query{}, 1); err == nil {
		t.Error("listed")
	}
	k.stop()
	k.sql("insert into visits values ('here')")
}

// A folder that cannot be used is said, and used as soon as it can be.
func TestAFolderThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	n := end(t, store, bustest.Applied(t, store.Bus), run.Success, "done", 0)
	dir := filepath.Join(t.TempDir(), "cache")
	write(t, filepath.Dir(dir), "cache", []byte("a file"))
	k := keep(t, store, dir)
	k.log.Await(t, "the history cannot be kept", nil)
	if p := k.Fresh(t.Context(), time.Millisecond); p.Missing == nil {
		t.Errorf("%+v", p)
	}
	check(t, os.Remove(dir))
	k.eventually(history.Query{}, n)
	k.stop()
	if told := strings.Count(k.log.String(), "the history cannot be kept"); told != 1 {
		t.Errorf("the log says it %d times", told)
	}
}

// Two processes never share a file: each has one of its own, and whoever ends leaves its own for the next.
func TestTwoIndexesInOneFolder(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, dir := bustest.Applied(t, store.Bus), t.TempDir()
	one, two := keep(t, store, dir).fresh(), keep(t, store, dir).fresh()
	n := end(t, store, request, run.Success, "done", 0)
	one.eventually(history.Query{}, n)
	two.eventually(history.Query{}, n)
	for _, name := range []string{"history.db", "history-2.db"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	one.stop()
	if third := keep(t, store, dir); strings.Contains(third.fresh().log.String(), "the history is made") {
		t.Errorf("the file that was left is not used: %s", third.log)
	}
	if _, err := os.Stat(filepath.Join(dir, "history-3.db")); err == nil {
		t.Error("a third file was made")
	}
}

// Without a folder the index is temporary: it goes with the process, or with the next one if that was killed.
func TestATemporaryIndex(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	left := filepath.Join(os.TempDir(), "runhook-history-left")
	check(t, os.Mkdir(left, 0o700))
	write(t, left, "history.lock", nil)
	write(t, left, "history.db", []byte("left behind"))
	store := bustest.New(t, bus.Topology{})
	n := end(t, store, bustest.Applied(t, store.Bus), run.Success, "done", 0)
	one, two := keep(t, store, ""), keep(t, store, "")
	one.eventually(history.Query{}, n)
	two.eventually(history.Query{}, n)
	folders := func() []string {
		found, err := filepath.Glob(filepath.Join(os.TempDir(), "runhook-history-*"))
		check(t, err)
		return found
	}
	if found := folders(); len(found) != 2 || slices.Contains(found, left) {
		t.Errorf("%v", found)
	}
	one.stop()
	two.stop()
	if found := folders(); len(found) != 0 {
		t.Errorf("%v", found)
	}
}

// Slices that are sealed and bundled are read too, whenever that happens, and their runs go with them.
func TestSlicesOfRuns(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Slice: 70})
	store.Jet().Settled = 0
	request := bustest.Applied(t, store.Bus)
	request.Parameters = task.Values{"State": {Values: []string{"AK"}, From: task.FromRequest}}
	follows := keep(t, store, t.TempDir())
	var all []run.Number
	for i := range 150 {
		message := "done"
		if i%40 == 7 {
			message = strings.Repeat("large ", 3000) // stored apart
		}
		all = append([]run.Number{end(t, store, request, run.Failed, message, 0)}, all...)
	}
	follows.eventually(history.Query{}, all...)
	slice := func(name string) (jetstream.Stream, error) { return store.Jet().JS.Stream(t.Context(), name) }
	keeper := store.Unheld.Slices()
	proctest.Until(t, func() error {
		if err := keeper.Look(t.Context()); err != nil {
			return err
		}
		runs, err := slice("RUNS")
		if err == nil && runs.CachedInfo().State.FirstSeq != 140 {
			err = errors.New("not bundled yet")
		}
		return err
	})
	late := keep(t, store, t.TempDir())
	for name, k := range map[string]*kept{"one that follows": follows, "one that is made of bundles": late} {
		for what, q := range map[string]history.Query{"all": {}, "a parameter's": {Parameters: [][2]string{{"State", "AK"}}}, "failed": {Outcome: outcome(run.Failed)}} {
			if got := k.numbers(q); !slices.Equal(got, all) {
				t.Errorf("%s, %s: %v", name, what, got)
			}
		}
		if large := k.numbers(history.Query{Text: "large"}); len(large) != 4 {
			t.Errorf("%s: %v", name, large)
		}
	}
	// They are read once.
	late.stop()
	late.sql("update runs set message = 'marked' where number < 140")
	late = keep(t, store, late.dir)
	if marked := late.numbers(history.Query{Text: "marked"}); len(marked) != 139 {
		t.Errorf("%d runs are not read again", len(marked))
	}
	check(t, store.Jet().JS.DeleteStream(t.Context(), "KV_runs_0"))
	left := all[:len(all)-69]
	follows.eventually(history.Query{}, left...)
	late.eventually(history.Query{}, left...)
	late.eventually(history.Query{Parameters: [][2]string{{"State", "AK"}}}, left...)
	late.stop()
	anew := keep(t, store, t.TempDir())
	anew.eventually(history.Query{}, left...)
}

// A slice that somebody has removed leaves requests behind, which are runs no more.
func TestASliceThatWasRemoved(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Slice: 20})
	request := bustest.Applied(t, store.Bus)
	var left []run.Number
	for range 25 {
		if n := end(t, store, request, run.Success, "done", 0); n >= 20 {
			left = append([]run.Number{n}, left...)
		}
	}
	follows := keep(t, store, t.TempDir()).fresh()
	check(t, store.Jet().JS.DeleteStream(t.Context(), "KV_runs_0"))
	follows.eventually(history.Query{}, left...)
	if got := keep(t, store, t.TempDir()).numbers(history.Query{}); !slices.Equal(got, left) {
		t.Errorf("%v", got)
	}
}

// Runs leave the index when they leave the store.
func TestRunsPastTheirRetention(t *testing.T) {
	t.Parallel()
	const retention = 3 * time.Second
	store := bustest.New(t, bus.Topology{Retention: retention})
	request := bustest.Applied(t, store.Bus)
	request.CreatedOn = time.Now()
	old := end(t, store, request, run.Success, "done", 0)
	k := keep(t, store, t.TempDir())
	k.eventually(history.Query{}, old)
	k.eventually(history.Query{})
	db, err := sql.Open("sqlite", filepath.Join(k.dir, "history.db"))
	check(t, err)
	defer db.Close()
	proctest.Eventually(t, "the row is gone", func() bool { // later than the answers say so
		var rows int
		return db.QueryRow("select count(*) from runs").Scan(&rows) == nil && rows == 0
	})
}

// What another program stores among the runs makes no run, and takes none away.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, other := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	publish := func(subject string, data []byte) {
		t.Helper()
		_, err := store.Jet().JS.Publish(t.Context(), subject, data)
		check(t, err)
	}
	ended, written := end(t, store, request, run.Success, "done", 0), end(t, store, request, run.Success, "done", 0)
	waits := bustest.Submit(t, store.Bus, request)
	publish(fmt.Sprintf("$KV.runs_0.final.%s.%s", request.Task, written), []byte("no JSON"))
	publish(fmt.Sprintf("$KV.runs_0.final.%s.%s", other.Task, ended), []byte("no JSON"))
	for _, n := range []run.Number{waits, ended} {
		doc := run.QueuedDocument(other, n)
		doc.End(run.Success, "forged", time.Now())
		data, err := doc.Encode()
		check(t, err)
		publish(fmt.Sprintf("$KV.runs_0.final.%s.%s", other.Task, n), data)
	}
	publish("run.request."+string(request.Task), []byte("no JSON"))
	for _, k := range []*kept{keep(t, store, t.TempDir())} {
		k.eventually(history.Query{}, waits, written, ended)
		for _, l := range k.list(history.Query{}) {
			status, err := store.Runs.Lookup(t.Context(), request.Task, l.ImportID)
			if err != nil || l.Outcome() != status.Document.Outcome() || l.Message != status.Document.Message && l.ImportID != waits || l.ExecuteID != request.Task {
				t.Errorf("%+v is listed for %+v, %v", l, status.Document, err)
			}
		}
	}
}

// While many runs come in, the index works a thirtieth of the time or less, unless somebody waits for it.
func TestTheIndexMakesWay(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	x := history.New(history.Options{Runs: store.Runs, Dir: t.TempDir(), Log: zerolog.Nop()})
	const worked = 20 * time.Millisecond
	if rested := history.Rested(t.Context(), x, worked, 1000, false); rested < 29*worked {
		t.Errorf("under load it rests %s after %s", rested, worked)
	}
	for name, rested := range map[string]time.Duration{
		"with few runs": history.Rested(t.Context(), x, time.Hour, 10, false), "in a hurry": history.Rested(t.Context(), x, time.Hour, 1000, true),
	} {
		if rested > 4*time.Second {
			t.Errorf("%s it rests %s", name, rested)
		}
	}
}

// However often an index looks, it leaves no consumers behind at the server: each would be told of every run.
func TestNothingIsLeftAtTheServer(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	k := keep(t, store, t.TempDir())
	var all []run.Number
	for range 20 {
		all = append([]run.Number{end(t, store, request, run.Success, "done", 0)}, all...)
		k.eventually(history.Query{}, all...)
	}
	k.stop()
	for _, name := range []string{"RUNS", "KV_runs_0"} {
		stream, err := store.Jet().JS.Stream(t.Context(), name)
		check(t, err)
		var left []string
		consumers := stream.ListConsumers(t.Context())
		for info := range consumers.Info() {
			if info.Config.Durable == "" {
				left = append(left, info.Name)
			}
		}
		if check(t, consumers.Err()); len(left) > 2 { // of a look that was cut short
			t.Errorf("%s has %d consumers more: %v", name, len(left), left)
		}
	}
}

// Whoever asks while the index is made hears how far it is, and never that it is done before it is.
func TestHowFarTheIndexIs(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	x := history.New(history.Options{Runs: store.Runs, Dir: t.TempDir(), Log: zerolog.Nop()})
	for _, c := range []struct {
		todo, done uint64
		complete   bool
		want       float64
	}{{0, 0, false, 0}, {2000, 0, false, 0}, {2000, 1234, false, 61.7}, {2000, 2000, false, 99.9}, {2000, 2100, false, 99.9}, {0, 0, true, 99.9}} {
		if got := history.Percent(x, c.todo, c.done, c.complete); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// A store that goes away is followed again when it is back, and lists are answered meanwhile.
func TestTheStoreGoesAway(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	first := end(t, store, request, run.Success, "done", 0)
	k := keep(t, store, t.TempDir())
	k.eventually(history.Query{}, first)
	listen := store.Broker.Addr().String()
	store.Broker.Stop()
	if p := k.Fresh(t.Context(), 50*time.Millisecond); p.Complete || p.Missing != nil {
		t.Errorf("%+v", p)
	}
	if listed := k.list(history.Query{}); len(listed) != 1 {
		t.Errorf("%+v", listed)
	}
	store.Start(listen)
	proctest.Until(t, func() error { return store.Ready(t.Context()) })
	if err := store.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	second := end(t, store, request, run.Success, "done", 0)
	k.eventually(history.Query{}, second, first)
	if n := strings.Count(k.log.String(), "the history is made"); n != 1 {
		t.Errorf("it was made %d times: %s", n, k.log)
	}
}

// On a cluster an index lacks nothing, whichever replica it reads from and whatever becomes of a server.
func TestOnACluster(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{Slice: 40})
	request := bustest.Applied(t, cluster.Bus)
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	x := history.New(history.Options{Runs: cluster.Open(t, "history", 1).Runs, Dir: dir, Log: zerolog.Nop()})
	ended := make(chan struct{})
	go func() { defer close(ended); x.Run(ctx) }()
	defer func() { stop(); <-ended }()
	k := &kept{t: t, Index: x}
	var all []run.Number
	execute := func(runs int) {
		t.Helper()
		for range runs {
			var n run.Number
			proctest.Until(t, func() error {
				accepted, err := cluster.Runs.Submit(t.Context(), request, "")
				n = accepted.Number
				return err
			})
			var claim *bus.Claim
			proctest.Until(t, func() (err error) {
				claim, err = cluster.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1})
				return err
			})
			doc := run.QueuedDocument(request, n)
			doc.End(run.Success, "done", time.Now())
			proctest.Until(t, func() error { return claim.Finish(t.Context(), doc, nil) })
			all = append([]run.Number{n}, all...)
		}
	}
	execute(30)
	k.eventually(history.Query{Outcome: outcome(run.Success)}, all...)
	for _, stream := range []string{"RUNS", "KV_runs_0"} {
		cluster.StepDown(t, stream)
		execute(10)
	}
	cluster.Restart(t, 1)
	execute(10)
	k.eventually(history.Query{Outcome: outcome(run.Success)}, all...)
}

// What readers find to be otherwise is put right.
func TestCorrections(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	gone, open := bustest.Submit(t, store.Bus, request), bustest.Submit(t, store.Bus, request)
	k := keep(t, store, t.TempDir()).fresh()
	doc := run.QueuedDocument(request, open)
	doc.End(run.Failed, "as the store says", time.Now())
	k.Correct(gone, nil)
	k.Correct(open, &doc)
	k.eventually(history.Query{}, open)
	k.eventually(history.Query{Text: "as the store says"}, open)
}

func write(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	for _, end := range []string{"-wal", "-shm"} {
		_ = os.Remove(filepath.Join(dir, name+end))
	}
	check(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The rows of runs that are erased go, from the file too, whatever the index has read when it is told; those of an index that
// was not there go when it is made anew, because the store does not have them.
func TestErasedRunsAreDropped(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, other := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	const secret = "Zaphod Beeblebrox"
	for i := range 9 {
		of := request
		if i%3 == 2 {
			of = other
		}
		end(t, store, with(of, func(r *run.Request) { r.CorrelationID = secret }), run.Success, secret, 0)
	}
	open := bustest.Submit(t, store.Bus, request)
	dir := t.TempDir()
	k := keep(t, store, dir).fresh()
	k.eventually(history.Query{}, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
	before := time.Now()
	// Left names also runs that are not between the first and the last.
	k.Index.Erase(run.Erasure{Task: request.Task, First: 3, Last: 7, Left: []run.Number{1, 4, 30}, Before: &before})
	k.eventually(history.Query{}, 10, 9, 8, 6, 4, 3, 2, 1)
	// All of the one task but 4, then one of the other.
	k.Index.Erase(run.Erasure{Task: request.Task, First: 1, Last: 20, Left: []run.Number{4}, Before: &before})
	k.eventually(history.Query{}, 10, 9, 6, 4, 3)
	k.Index.Erase(run.Erasure{Task: other.Task, First: 9, Last: 9})
	k.eventually(history.Query{}, 10, 6, 4, 3)
	for _, n := range []run.Number{3, 4, 6} {
		k.Index.Erase(run.Erasure{Task: other.Task, First: n, Last: n})
	}
	k.eventually(history.Query{}, open)
	proctest.Until(t, func() error {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		for _, file := range files {
			if data, readErr := os.ReadFile(file); readErr == nil && bytes.Contains(data, []byte(secret)) {
				return fmt.Errorf("%s holds what was erased", file)
			}
		}
		return err
	})
}
