package httpjson_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A row that the service refuses fails alone, and is rejected with its cells and the service's words,
// which are not in the document.
func TestHTTPRefusesRows(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
	b.Mapping("id", "ID") // Name is not used, and so not kept
	b.ToService(1, func(w http.ResponseWriter, ids []string) {
		if ids[0] == "2" {
			http.Error(w, "Bob is known", http.StatusUnprocessableEntity)
		}
	})
	rejected := b.Reject()
	s := b.Succeed(run.Counts{Total: 3, Retrieved: 3, Inserted: 2, Failed: 1})
	b.RowErrors(s, run.RowError{Row: 2, Message: "was refused with status 422"})
	if strings.Contains(fmt.Sprint(s.Errors), "Bob") {
		t.Errorf("the document has the service's words: %v", s.Errors)
	}
	if got := strings.Join(*rejected, "; "); got != "2  was refused with status 422: Bob is known 2" {
		t.Errorf("rejected %s", got)
	}
}

// A service that fails in the middle leaves the rows counted that it took.
func TestHTTPFailsInTheMiddle(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n4,Di\n")
	b.ToService(1, func(w http.ResponseWriter, ids []string) {
		if ids[0] == "3" {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	b.Counts(b.Fail("POST /members of connection partner is answered 403 Forbidden; correct the credentials"), run.Counts{Retrieved: 2, Inserted: 2})
}

func TestServiceIsRead(t *testing.T) {
	b := pipelinetest.New(t)
	b.FromService(func(w http.ResponseWriter, r *http.Request) {
		rows := []string{}
		for i := range 700 {
			rows = append(rows, fmt.Sprintf(`{"id":%s%d,"name":{"first":"N%d"},"state":%q}`, r.URL.Query().Get("skip"), i, i, r.URL.Query().Get("state")))
		}
		if r.URL.Query().Get("skip") == "1400" {
			rows = []string{`[]`}
		}
		fmt.Fprintf(w, `{"total":1401,"rows":[%s],"more":%t}`, strings.Join(rows, ","), true)
	}, task.HTTPSource{Path: "/?state={params.State}", Items: "rows", Total: "total", Next: &task.NextPage{Offset: "skip"}})
	b.Parameters("State", "CA")
	b.Job.Task.Where = "state == params.State"
	b.Mapping("id", "id", "name", `name.first + "!"`)
	var m pipeline.Meter
	b.Job.BeforeWrite = func(context.Context, int64) error {
		if total := m.Snapshot().Counts.Total; total != 1401 {
			t.Errorf("the total is %d", total)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	b.Job.Task.MaxRowErrors = 0
	err := pipeline.Run(ctx, b.Job, &m)
	if err == nil || !strings.Contains(err.Error(), "ore failed rows than max_row_errors allows (0); the last is row 1401: is not an object") {
		t.Fatal(err)
	}
	if s := m.Snapshot(); s.Counts.Inserted != 1400 || b.Query("select name from members where id = 700699") != "N699!" {
		t.Errorf("%+v", s)
	}
}

// A service without rows has no columns that an expression could be held against.
func TestServiceWithoutRows(t *testing.T) {
	b := pipelinetest.New(t)
	b.FromService(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") }, task.HTTPSource{Path: "/"})
	b.Job.Task.Where = `row["any"] > 3 && other.x == "y"`
	b.Succeed(run.Counts{})
}

func TestServiceLacksAColumn(t *testing.T) {
	b := pipelinetest.New(t)
	b.FromService(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{"id":1,"nmae":"Ann"}]`) }, task.HTTPSource{Path: "/"})
	b.Fail("mapping.name: unknown column name; did you mean nmae?")
	b.Job.Task.Source.(*task.HTTPSource).Columns = []string{"name"}
	b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
}

// A table that is made for a service's rows has its numbers as numbers, and whatever comes after them.
func TestNumbersOfAServiceStayNumbers(t *testing.T) {
	b := pipelinetest.New(t)
	b.FromService(func(w http.ResponseWriter, _ *http.Request) {
		rows := []string{`{"id":0,"n":null,"m":1,"t":"7"}`}
		for i := range 1200 {
			rows = append(rows, fmt.Sprintf(`{"id":%d.0,"n":%d,"m":0.5,"t":"7","d":1.2345678901234567890}`, i+1, 100+i))
		}
		fmt.Fprintf(w, `[%s,{"id":1300,"n":"none","m":"x"}]`, strings.Join(rows, ","))
	}, task.HTTPSource{Path: "/"})
	b.Mapping("id", "id", "n", "n", "m", "m", "t", "t", "d", "d")
	to := b.Job.Task.Destination.(*task.SQLDestination)
	to.Table, to.Create, to.Key, to.Action = "made", true, []string{"id"}, task.Upsert
	b.Succeed(run.Counts{Total: 1202, Retrieved: 1202, Inserted: 1202})
	for query, want := range map[string]string{
		"select count(*) from made where n > 50 and typeof(n) = 'integer'":              "1200",
		"select count(*) from made where typeof(m) = 'real' and typeof(t) = 'text'":     "1200",
		"select count(distinct id) from made where typeof(id) = 'integer'":              "1202",
		"select n || m from made where id = 1300":                                       "nonex",
		"select group_concat(type, ',') from (select * from pragma_table_info('made'))": ",,,TEXT,TEXT",
		"select count(*) from made where d = '1.2345678901234567890'":                   "1200",
	} {
		if got := b.Query(query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}
