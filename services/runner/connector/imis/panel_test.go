package imis_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// The entities of a panels' site: one of each kind.
var (
	certificates = imissite.Entity{Name: "My_Certificates", ObjectType: "Multi", Properties: []imissite.Property{
		{Name: "Code", Type: "String", MaxLength: 5, Required: true},
		{Name: "Earned", Type: "Date"},
		{Name: "Hours", Type: "Integer", Default: int64(1)},
		{Name: "Fee", Type: "Decimal"},
		{Name: "Paid", Type: "Boolean"},
		{Name: "Topics", Type: "String", MaxLength: 10, Values: []string{"A", "B", "C", "LONG", "LONGER"}, Multiple: true},
		{Name: "Scan", Type: "Binary"},
	}}
	profile = imissite.Entity{Name: "My_Profile", ObjectType: "SINGLE", Properties: []imissite.Property{
		{Name: "Motto", Type: "String", MaxLength: 20}, {Name: "Since", Type: "Date"}, {Name: "Level", Type: "Integer"},
	}}
	prices = imissite.Entity{Name: "My_Prices", ObjectType: "Standard", Parent: "Standalone", Properties: []imissite.Property{
		{Name: "Product", Type: "String", MaxLength: 20, Required: true, Identity: true}, {Name: "Price", Type: "Monetary"},
	}}
)

// education is a table of the desktop era, with any number of records of a contact, and demographics one with
// one record of each.
var (
	education = imissite.Entity{Name: "Name_CEU", ObjectType: "Multi", Legacy: true, Properties: []imissite.Property{
		{Name: "CEU_Course", Type: "String", MaxLength: 20}, {Name: "CEU_Hours", Type: "Double"}, {Name: "CEU_Date_Reported", Type: "Date"},
	}}
	demographics = imissite.Entity{Name: "Name_Demo", Legacy: true, Properties: []imissite.Property{
		{Name: "Spouse", Type: "String", MaxLength: 20}, {Name: "Board", Type: "Boolean"},
	}}
)

// panels is a stand-in site with those entities and the contacts 101 to 109, and a destination to change.
type panels struct {
	*bench
	to      *task.IMISDestination
	columns []string
	dry     bool
}

func newPanels(t testing.TB, entity string, action task.Action, columns ...string) *panels {
	t.Helper()
	p := &panels{bench: newBench(t, members(3)), columns: columns}
	p.site.SetEntities(certificates, profile, prices, education, demographics)
	for i := 101; i < 110; i++ {
		p.site.SetContacts(imissite.Contact{ID: fmt.Sprint(i), LastName: "Ann"})
	}
	p.to = &task.IMISDestination{Connection: "prod", Entity: entity, Action: action, OnMultiple: task.SkipRow, OnBlankMatch: task.SkipRow}
	return p
}

// behind puts something before the site that changes its requests.
func (p *panels) behind(change func(*http.Request)) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		change(r)
		p.site.ServeHTTP(w, r)
	}))
	p.t.Cleanup(server.Close)
	p.connect(server.URL, password)
}

func (p *panels) open(ctx context.Context) (*imis.Destination, error) {
	if p.dry {
		return imis.Try(ctx, p.connections, p.to, p.columns)
	}
	return imis.OpenDestination(ctx, p.connections, p.to, p.columns)
}

// write writes rows, each as a batch of its own, and returns what became of them.
func (p *panels) write(rows ...[]any) (written []row.Row, err error) {
	p.t.Helper()
	ctx := p.t.Context()
	d, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if !d.Close() {
			p.t.Error("Close says that nothing was kept")
		}
	}()
	for i, values := range rows {
		batch := row.NewBatch(len(p.columns))
		copy(batch.Add(int64(i+1)).Values, values)
		told := int64(0)
		if err := d.Write(ctx, batch, func(row int64) error { told = row; return nil }); err != nil {
			return written, err
		}
		if told != int64(i+1) && !p.dry && batch.Reached()[0].Outcome == row.Inserted {
			p.t.Errorf("row %d was written and %d told", i+1, told)
		}
		written = append(written, batch.Reached()...)
	}
	return written, d.Finish(ctx)
}

var outcomes = map[row.Outcome]string{
	row.Ready: "ready", row.Inserted: "inserted", row.Updated: "updated", row.Unchanged: "unchanged", row.Deleted: "deleted", row.Skipped: "skipped",
}

// expect writes rows, and compares what became of each: an outcome, or the fault with its column.
func (p *panels) expect(rows [][]any, want ...string) []row.Row {
	p.t.Helper()
	written, err := p.write(rows...)
	if err != nil {
		p.t.Fatal(err)
	}
	var got []string
	for _, r := range written {
		if r.Outcome == row.Failed {
			got = append(got, r.Fault.Error())
		} else {
			got = append(got, outcomes[r.Outcome])
		}
	}
	if !slices.Equal(got, want) {
		p.t.Errorf("got  %q\nwant %q", got, want)
	}
	return written
}

// fail writes rows, which must end in a failure that says all of that, and shows no secret.
func (p *panels) fail(rows [][]any, says ...string) {
	p.t.Helper()
	_, err := p.write(rows...)
	failure, ok := errors.AsType[*run.Failure](err)
	if !ok {
		p.t.Fatalf("got %v, want a failure", err)
	}
	for _, part := range append(says, "connection prod") {
		if !strings.Contains(failure.Message, part) {
			p.t.Errorf("got %q, want %q", failure.Message, part)
		}
	}
	for _, secret := range []string{password, "SECRET", "access_token", "Bearer"} {
		if strings.Contains(failure.Message, secret) {
			p.t.Errorf("the message shows a secret: %s", failure.Message)
		}
	}
}

// stored compares the rows of the entity.
func (p *panels) stored(want ...imissite.Row) {
	p.t.Helper()
	got := p.site.Rows(p.to.Entity)
	if len(got) != len(want) {
		p.t.Fatalf("stored %v, want %v", got, want)
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			p.t.Errorf("stored %#v\nwant   %#v", got[i], want[i])
		}
	}
}

// requests are those of the API since the last call but those for what the entity is, as "PUT /api/my_panel/101".
func (p *panels) requests() (all []string) {
	for _, r := range p.site.Requests() {
		if !strings.HasPrefix(r.Path, "/api/boentitydefinition") && r.Query.Get("limit") != "1" {
			all = append(all, r.Method+" "+r.Path)
		}
	}
	return all
}

func (p *panels) count(method string) (n int) {
	for _, r := range p.site.Requests() {
		if r.Method == method && !strings.HasSuffix(r.Path, "_validate") {
			n++
		}
	}
	return n
}

// replaceBody changes the body of a request.
func replaceBody(r *http.Request, change func(string) string) {
	body, _ := io.ReadAll(r.Body)
	changed := change(string(body))
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(changed)), int64(len(changed))
}
