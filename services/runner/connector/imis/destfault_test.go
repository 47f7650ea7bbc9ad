package imis_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/services/runner/row"
	"runhook/shared/outward"
	"runhook/shared/task"
)

// What does not pass ends the run with its reason and its row, and with nothing half-done.
func TestLastingFaultsOfWrites(t *testing.T) {
	imis.ShortenPauses(t)
	html := sitetest.Answer("text/html; charset=utf-8", "<!DOCTYPE html><html>SECRET</html>")
	for name, c := range map[string]struct {
		fault imissite.Fault
		says  string
	}{
		"no access":        {sitetest.Status(403), "is not allowed to the account of the connection (status 403)"},
		"401 for ever":     {sitetest.Status(401), "the site signs the account of connection prod in, and then refuses the token that it gave"},
		"HTML":             {html, "answers with a page for people (HTML) instead of data; the url of connection prod may be wrong"},
		"a login page":     {sitetest.Redirect("/iMIS/Login.aspx?ReturnUrl=SECRET"), "is answered by a redirect to a page to sign in, http://127.0.0.1"},
		"another host":     {sitetest.Redirect("https://SECRET:x@evil.example.org/x?SECRET"), "is answered by a redirect to https://evil.example.org/x, which is not followed"},
		"throttled":        {sitetest.Throttle(""), "answers with status 429, 8 times in a row"},
		"throttled hours":  {sitetest.Throttle("7200"), "the site asks to wait 2h"},
		"busy":             {sitetest.Status(503), "answers with status 503, 8 times in a row"},
		"taken away":       {sitetest.Status(501), "is refused with status 501"},
		"method forbidden": {sitetest.Status(405), "is refused with status 405"},
	} {
		for _, action := range []task.Action{task.Insert, task.Update, task.Delete} {
			t.Run(name+" "+string(action), func(t *testing.T) {
				p := newPanels(t, "My_Profile", action, "ID", "Motto")
				if action != task.Insert {
					p.to.Key = []string{"ID"}
				}
				p.site.SetRows("My_Profile", imissite.Row{"ID": "101", "Motto": "old"})
				p.site.FailWrites(sitetest.Times(20, c.fault)...)
				id := map[bool]string{true: "102", false: "101"}[action == task.Insert]
				p.fail([][]any{{id, "SECRET"}, {id, "SECRET"}}, "the entity My_Profile of connection prod (row 1)", c.says)
				p.stored(imissite.Row{"ID": "101", "Motto": "old"})
			})
		}
	}
}

// Answers that are none end the run, wherever they come.
func TestStrangeAnswers(t *testing.T) {
	for _, text := range []string{`[]`, `7`, `null`, `{}`, `{"Items":7}`, `{"Items":{"$values":[7]}}`, `{"Items":[null]}`, `{"Items":[{"$type":"GenericEntityData","Properties":[7]}]}`} {
		for at := range 3 {
			p := newPanels(t, "My_Profile", task.Update, "ID", "Motto")
			p.to.Match = []string{"Motto"}
			p.site.Fail(append(sitetest.Times(at, nil), sitetest.Answer("application/json", text))...)
			_, err := p.write([]any{"101", "x"})
			if err != nil && (!strings.Contains(err.Error(), "something other than") && !strings.Contains(err.Error(), "as iMIS gives it") && !strings.Contains(err.Error(), "a form of its own")) {
				t.Errorf("%d, %s: %v", at, text, err)
			}
		}
		p := newPanels(t, "My_Profile", task.Update, "ID", "Motto")
		p.to.Key = []string{"ID"}
		p.site.Fail(nil, nil, sitetest.Answer("application/json", text))
		p.fail([][]any{{"101", "x"}}, "the entity My_Profile of connection prod (row 1) is answered with something other than an iMIS record")
	}
}

// A site that lets nobody in, or is none, is told before the first row.
func TestSitesThatCannotBeWrittenTo(t *testing.T) {
	imis.ShortenPauses(t)
	unknown, misnamed := httptest.NewTLSServer(http.NotFoundHandler()), httptest.NewUnstartedServer(http.NotFoundHandler())
	certificate, err := sitetest.Certificate("other.example.org")
	if err != nil {
		t.Fatal(err)
	}
	misnamed.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	misnamed.StartTLS()
	defer unknown.Close()
	defer misnamed.Close()
	for name, c := range map[string]struct{ url, password, says string }{
		"wrong password":   {"", "wrong", "refuses its username and password"},
		"signed by nobody": {unknown.URL, password, "has a certificate that no authority known to the runner has signed"},
		"another's":        {misnamed.URL, password, "has a certificate that is not for 127.0.0.1 (it is for other.example.org); correct the url"},
		"nothing there":    {"http://127.0.0.1:1", password, "cannot be asked: nothing listens at its address, 8 times in a row"},
		"behind the proxy": {"http://other.example.org", password, "answers with status 502"},
	} {
		p := newPanels(t, "My_Profile", task.Insert, "ID", "Motto")
		url := c.url
		if url == "" {
			url = p.server.URL
		}
		p.connect(url, c.password)
		p.fail([][]any{{"101", "x"}}, c.says)
		if len(p.site.Rows("My_Profile")) != 0 {
			t.Errorf("%s: stored %v", name, p.site.Rows("My_Profile"))
		}
	}
}

// An answer that goes beyond the bound of headers ends the run, and a change is not made again.
func TestHeadersWithoutBound(t *testing.T) {
	p := newPanels(t, "My_Profile", task.Insert, "ID", "Motto")
	p.site.FailWrites(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Filler", strings.Repeat("x", outward.MaxHeader))
	})
	p.fail([][]any{{"101", "x"}}, "answers a change with more than 256 KiB of headers; the change may have been made")
	if rows := p.site.Rows("My_Profile"); len(rows) != 0 {
		t.Errorf("it was sent again: %v", rows)
	}
}

// Through the proxy that the environment names, with a password of every kind of character.
func TestWriteThroughAProxy(t *testing.T) {
	p := newPanels(t, "My_Profile", task.Insert, "ID", "Motto")
	proxied.SetEntities(profile)
	proxied.SetContacts(imissite.Contact{ID: "101", LastName: "A"})
	p.connect("http://imis.example.org", password)
	p.expect([][]any{{"101", "x"}}, "inserted")
	if len(proxied.Rows("My_Profile")) != 1 || len(p.site.Rows("My_Profile")) != 0 {
		t.Error("the site was reached some other way")
	}
}

// What the site says of a row is its fault: the column in the document, the site's words beside it.
func TestRefusedRows(t *testing.T) {
	imis.ShortenPauses(t)
	results := func(items string) imissite.Fault {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"$type":"Asi.Soa.Core.DataContracts.ValidationResultsData, Asi.Contracts","Errors":{"$type":"x","$values":[` + items + `]},"Warnings":{"$values":[]}}`))
		}
	}
	for name, c := range map[string]struct {
		fault       imissite.Fault
		says, words string
	}{
		"a column":        {results(`{"Message":"Motto SECRET","PropertyName":"motto"},{"Message":"and more"}`), "Motto is refused by the site's validation", "Motto SECRET; and more"},
		"a looked up one": {results(`{"Message":"no such SECRET","PropertyName":"Area"}`), "Area is not one of the values that the site has for it", "no such SECRET"},
		"another column":  {results(`{"Message":"SECRET","PropertyName":"Ordinal"}`), "is refused by the site's validation", "SECRET"},
		"no column":       {results(`{"Message":"SECRET"}`), "is refused by the site's validation", "SECRET"},
		"no reason":       {results(``), "is refused with status 400", ""},
		"not valid":       {sitetest.Status(400), "is refused with status 400", "An error occurred. Please contact the administrator."},
		"no parent":       {sitetest.Status(404), "is refused with status 404: what it belongs to may not exist", "An error occurred. Please contact the administrator."},
		"a duplicate":     {sitetest.Status(409), "is there already (a duplicate key)", "An error occurred. Please contact the administrator."},
		"too large":       {sitetest.Status(413), "is too large for the site", ""},
	} {
		p := newPanels(t, "My_Profile", task.Insert, "ID", "Motto", "Area")
		p.site.SetEntities(imissite.Entity{Name: "My_Profile", Properties: append(profile.Properties[:1:1], imissite.Property{Name: "Area", Type: "String"})})
		p.site.Fail(sitetest.Answer("application/json", `{"Items":{"$values":[{"EntityTypeName":"My_Profile","PrimaryParentEntityTypeName":"Party","Properties":[`+
			`{"Name":"ID","PropertyTypeName":"String"},{"Name":"Motto","PropertyTypeName":"String"},{"Name":"Area","PropertyTypeName":"String","Rule":{"Query":{"EntityTypeName":"X"}}}]}]}}`))
		p.site.FailWrites(c.fault)
		got := p.expect([][]any{{"101", "SECRET", "N"}, {"102", "x", "N"}}, c.says, "inserted")
		if got[0].Fault.Words != c.words {
			t.Errorf("%s: words %q, want %q", name, got[0].Fault.Words, c.words)
		}
	}
}

// A record that keeps being refused without a reason fails alone.
func TestRecordThatTheSiteTripsOver(t *testing.T) {
	imis.ShortenPauses(t)
	p := newPanels(t, "My_Profile", task.Update, "ID", "Motto")
	p.to.Key = []string{"ID"}
	p.site.SetRows("My_Profile", imissite.Row{"ID": "101", "Motto": "old"})
	p.site.FailWrites(sitetest.Times(4, sitetest.Status(500))...)
	p.expect([][]any{{"101", "a"}, {"101", "b"}}, "is refused without a reason (answers with status 500, 4 times in a row)", "updated")
	p.stored(imissite.Row{"ID": "101", "Motto": "b"})
}

// A record that goes between the look and the change is one that is not there.
func TestRecordThatGoesMeanwhile(t *testing.T) {
	for action, want := range map[task.Action]string{task.Update: "skipped", task.Upsert: "skipped", task.Delete: "skipped"} {
		p := newPanels(t, "My_Profile", action, "ID", "Motto")
		p.to.Key = []string{"ID"}
		p.site.SetRows("My_Profile", imissite.Row{"ID": "101", "Motto": "old"})
		p.site.FailWrites(sitetest.Status(404))
		p.expect([][]any{{"101", "a"}}, want)
	}
}

// A record that somebody else inserts between the look and the insert is updated.
func TestRecordThatComesMeanwhile(t *testing.T) {
	p := newPanels(t, "My_Profile", task.Upsert, "ID", "Motto")
	p.to.Key = []string{"ID"}
	p.site.SetRows("My_Profile", imissite.Row{"ID": "101", "Motto": "theirs"})
	first := true
	p.behind(func(r *http.Request) {
		if r.URL.Path == "/api/My_Profile/101" && first {
			r.URL.Path, first = "/api/My_Profile/102", false
		}
	})
	p.expect([][]any{{"101", "ours"}}, "updated")
	p.stored(imissite.Row{"ID": "101", "Motto": "ours"})
}

// A dry run looks for records and asks for the site's opinion, and changes nothing.
func TestDryRun(t *testing.T) {
	imis.ShortenPauses(t)
	rows := [][]any{{"101", "new"}, {"101", "old"}, {"102", "x"}, {"777", "x"}, {"103", strings.Repeat("x", 21)}}
	const invalid, long = "ID is refused by the site's validation", "Motto is too long (max 20)"
	for action, want := range map[task.Action][]string{
		task.Insert: {"inserted", "inserted", "inserted", invalid, long},
		task.Upsert: {"updated", "unchanged", "inserted", invalid, long},
		task.Update: {"updated", "unchanged", "skipped", "skipped", long},
		task.Delete: {"deleted", "deleted", "skipped", "skipped", long},
	} {
		p := newPanels(t, "My_Profile", action, "ID", "Motto")
		p.dry = true
		if action != task.Insert {
			p.to.Key = []string{"ID"}
		}
		p.site.SetRows("My_Profile", imissite.Row{"ID": "101", "Motto": "old"})
		p.expect(rows, want...)
		p.stored(imissite.Row{"ID": "101", "Motto": "old"})
		validated := 0
		for _, r := range p.site.Requests() {
			if r.Method != http.MethodGet && r.Path != "/api/my_profile/_validate" {
				t.Errorf("%s sent %s %s", action, r.Method, r.Path)
			}
			if r.Method != http.MethodGet {
				validated++
			}
		}
		if count := map[task.Action]int{task.Insert: 4, task.Upsert: 3, task.Update: 1}[action]; validated != count {
			t.Errorf("%s: %d records were validated, want %d", action, validated, count)
		}
	}
}

// Where a site does not validate, a dry run knows less, and asks once.
func TestDryRunWithoutValidation(t *testing.T) {
	for _, status := range []int{0, 404, 405, 501, 500} {
		imis.ShortenPauses(t)
		p := newPanels(t, "My_Bare", task.Insert, "ID", "Note")
		p.dry = true
		p.site.SetEntities(imissite.Entity{Name: "My_Bare", NoValidate: status == 0, Properties: []imissite.Property{{Name: "Note", Type: "String"}}})
		before := len(p.site.Requests())
		if status > 0 {
			p.behind(func(r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/_validate") {
					p.site.Fail(sitetest.Status(status))
				}
			})
		}
		p.expect([][]any{{"101", "x"}, {"777", "x"}}, "inserted", "inserted")
		asked := 0
		for _, r := range p.site.Requests()[before:] {
			if strings.HasSuffix(r.Path, "/_validate") {
				asked++
			}
		}
		if want := map[bool]int{true: 4, false: 1}[status == 500]; asked != want {
			t.Errorf("%d: asked %d times", status, asked)
		}
		p.stored()
	}
}

// A batch with several rows is written too, though the pipeline makes none.
func TestBatchOfSeveralRows(t *testing.T) {
	p := newPanels(t, "My_Profile", task.Insert, "ID", "Motto")
	d, err := p.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	batch := row.NewBatch(2)
	for i, values := range [][]any{{"101", "a"}, {"", "b"}, {"103", "c"}} {
		copy(batch.Add(int64(i+1)).Values, values)
	}
	told := int64(0)
	if err := d.Write(t.Context(), batch, func(last int64) error { told = last; return nil }); err != nil || told != 3 {
		t.Errorf("told %d, %v", told, err)
	}
	reached := batch.Reached()
	if len(reached) != 3 || reached[0].Outcome != row.Inserted || reached[1].Outcome != row.Failed || reached[2].Outcome != row.Inserted {
		t.Errorf("got %+v", reached)
	}
}

// Sources and destinations of all runs share one turn at a site, and one login.
func TestWritersShareTheSite(t *testing.T) {
	p := newPanels(t, "My_Profile", task.Upsert, "ID", "Motto")
	p.to.Key = []string{"ID"}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := p.write([]any{"101", "a"}, []any{"102", "b"}, []any{"101", "c"}); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, rows, err := p.read(t.Context()); err != nil || len(rows) != 3 {
				t.Errorf("%d rows, %v", len(rows), err)
			}
		})
	}
	all.Wait()
	if p.site.MostAtOnce() != 1 || p.site.Logins() != 1 {
		t.Errorf("%d requests at once, %d logins", p.site.MostAtOnce(), p.site.Logins())
	}
}
