package imis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// password has every kind of character that a form, an address or YAML could trip over.
const password = `p&=+%/ü #"'$x`

func TestMain(m *testing.M) {
	proxy := startProxy()
	// Read once by the first request of the process; addresses of this machine do without it.
	os.Setenv("HTTP_PROXY", proxy.URL)
	proctest.Main(behindProxy{m, proxy})
}

// behindProxy closes the proxy after the tests.
type behindProxy struct {
	tests *testing.M
	proxy *httptest.Server
}

func (b behindProxy) Run() int {
	defer b.proxy.Close()
	return b.tests.Run()
}

// bench is a stand-in site, a connection to it, and a task to change.
type bench struct {
	t           testing.TB
	site        *imissite.Site
	server      *httptest.Server
	connections *connection.Set
	task        *task.Definition
	values      task.Values
}

// members is an IQA of so many members, with a prompt for a part of the state.
func members(count int) imissite.Query {
	return imissite.Query{
		Path: "$/Membership/Lapsed Members",
		Columns: []imissite.Column{
			{Name: "ID", Type: "Int32"}, {Name: "Full Name", Type: "String"}, {Name: "State", Type: "String"}, {Name: "Dues", Type: "Decimal"},
		},
		Prompts: []imissite.Prompt{{Property: "State", Column: "State"}, {Property: "FullName", Column: "Full Name"}},
		Count:   count,
		Row: func(i int) []any {
			return []any{i + 1, fmt.Sprintf("Ann %d", i+1), []string{"CA", "NV", "ne:CA", "empty"}[i%4], json.Number(fmt.Sprintf("%d.10", i))}
		},
	}
}

func newBench(t testing.TB, queries ...imissite.Query) *bench {
	t.Helper()
	b := &bench{t: t, site: imissite.New("runhook", password, queries...), values: task.Values{}}
	b.server = httptest.NewServer(b.site)
	t.Cleanup(b.server.Close)
	b.connect(b.server.URL, password)
	b.task = &task.Definition{Source: &task.IMISSource{
		Connection: "prod", Query: queries[0].Path, PageSize: 500, Endpoint: task.QueryEndpoint,
	}}
	return b
}

// connect makes prod a connection to that address.
func (b *bench) connect(url, password string) {
	b.t.Helper()
	b.t.(interface{ Setenv(string, string) }).Setenv("RUNHOOK_TEST_PASSWORD", password)
	set, err := connection.Parse([]byte(`prod: {imis: {private: true, url: "`+url+`", username: runhook, password: "${RUNHOOK_TEST_PASSWORD}"}}`), "connections.yaml")
	if err != nil {
		b.t.Fatal(err)
	}
	b.connections = set
}

func (b *bench) from() *task.IMISSource { return b.task.Source.(*task.IMISSource) }

// prompt gives the task a parameter, with a value, several, or none.
func (b *bench) prompt(name string, values ...string) {
	b.task.Parameters = append(b.task.Parameters, task.Parameter{Name: name, Multiple: len(values) > 1})
	b.values[name] = task.Value{Values: values, Multiple: len(values) > 1}
}

// read reads all rows.
func (b *bench) read(ctx context.Context) (columns []string, rows [][]any, err error) {
	b.t.Helper()
	s, err := imis.Open(ctx, b.job())
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	columns = s.Columns().Names
	for {
		cells := make([]any, len(columns))
		switch _, err := s.Next(ctx, cells); {
		case errors.Is(err, io.EOF):
			if _, total := s.Progress(); total != int64(len(rows)) {
				b.t.Errorf("the total is %d after %d rows", total, len(rows))
			}
			return columns, rows, nil
		case err != nil:
			return columns, rows, err
		}
		rows = append(rows, cells)
		if part, total := s.Progress(); total > 0 && part != float64(len(rows))/float64(total) {
			b.t.Fatalf("after %d of %d rows the part is %v", len(rows), total, part)
		}
	}
}

// expect reads all rows, and compares their first cells.
func (b *bench) expect(ids ...any) {
	b.t.Helper()
	_, rows, err := b.read(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	var got []any
	for _, cells := range rows {
		got = append(got, cells[0])
	}
	if !reflect.DeepEqual(got, ids) {
		b.t.Errorf("got %v, want %v", got, ids)
	}
}

// expectRows reads all rows and compares how many there are, and that each is there once.
func (b *bench) expectRows(want int) {
	b.t.Helper()
	_, rows, err := b.read(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	b.inOrder(rows, want)
}

func (b *bench) inOrder(rows [][]any, want int) {
	b.t.Helper()
	if len(rows) != want {
		b.t.Fatalf("got %d rows, want %d", len(rows), want)
	}
	for i, cells := range rows {
		if cells[0] != int64(i+1) {
			b.t.Fatalf("row %d is %v", i+1, cells)
		}
	}
}

// fail reads rows, which must end in a failure that says all of that.
func (b *bench) fail(says ...string) {
	b.t.Helper()
	b.failure(says...)
}

// failure is fail, and returns what the run fails with.
func (b *bench) failure(says ...string) *run.Failure {
	b.t.Helper()
	_, _, err := b.read(b.t.Context())
	failure, ok := errors.AsType[*run.Failure](err)
	if !ok {
		b.t.Fatalf("got %v, want a failure", err)
	}
	for _, part := range append(says, "connection prod") {
		if !strings.Contains(failure.Message, part) {
			b.t.Errorf("got %q, want %q", failure.Message, part)
		}
	}
	for _, secret := range []string{password, "p%26", "SECRET", "access_token", "Bearer"} {
		if strings.Contains(failure.Message, secret) {
			b.t.Errorf("the message shows a secret: %s", failure.Message)
		}
	}
	return failure
}

// startProxy starts a proxy that answers for every host as the site of proxied does.
func startProxy() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "imis.example.org" {
			http.Error(w, "not to be asked for", http.StatusBadGateway)
			return
		}
		proxied.ServeHTTP(w, r)
	}))
}

var proxied = imissite.New("runhook", password, members(3))
