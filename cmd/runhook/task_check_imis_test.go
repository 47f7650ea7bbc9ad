package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/shared/run"
)

// imisSite is a site for checks with an iMIS site beside it, as the connection prod.
type imisSite struct {
	*site
	imis *imissite.Site
	url  string
}

func newIMISSite(t testing.TB) *imisSite {
	t.Helper()
	columns := []imissite.Column{{Name: "ID", Type: "Int32"}, {Name: "Full Name", Type: "String"}, {Name: "State", Type: "String"}, {Name: "Joined", Type: "DateTime"}, {Name: "Dues", Type: "Decimal"}, {Name: "Member", Type: "Boolean"}}
	row := func(i int) []any {
		return []any{i + 1, fmt.Sprintf("Ann %d", i+1), "CA", "2026-01-31T00:00:00", 12, true}
	}
	state, name := imissite.Prompt{Property: "State", Column: "State"}, imissite.Prompt{Property: "FullName", Column: "Full Name"}
	required := state
	required.Required = true
	s := &imisSite{site: checkSite(t), imis: imissite.New("runhook", "right",
		imissite.Query{Path: "$/Members", Columns: columns, Prompts: []imissite.Prompt{state, name}, Count: 3, Row: row},
		imissite.Query{Path: "$/Required", Columns: columns, Prompts: []imissite.Prompt{required, name}, Count: 3, Row: row},
		imissite.Query{Path: "$/Twice", Columns: columns, Prompts: []imissite.Prompt{state, name, state}, Count: 3, Row: row},
		imissite.Query{Path: "$/Hidden", Columns: columns, Count: 3, Row: row, NoREST: true},
		imissite.Query{Path: "$/Empty", Columns: columns, Row: row},
		imissite.Query{Path: "$/Sparse", Columns: columns, Count: 3, Row: func(i int) []any { return append(row(i)[:5], imissite.Absent{}) }},
	)}
	s.imis.SetEntities(
		imissite.Entity{Name: "My_Panel", ObjectType: "Multi", Properties: []imissite.Property{
			{Name: "Code", Type: "String", MaxLength: 5, Required: true},
			{Name: "Earned", Type: "Date"},
			{Name: "Hours", Type: "Integer"},
			{Name: "Paid", Type: "Boolean"},
			{Name: "Scan", Type: "Binary"},
		}},
		imissite.Entity{Name: "My_Profile", Properties: []imissite.Property{{Name: "Motto", Type: "String", MaxLength: 20}}},
		imissite.Entity{Name: "My_Prices", ObjectType: "Standard", Parent: "Standalone", Properties: []imissite.Property{
			{Name: "Product", Type: "String", MaxLength: 20, Required: true, Identity: true}, {Name: "Price", Type: "Monetary"},
		}},
		imissite.Entity{Name: "My_Hidden", NoREST: true, Properties: []imissite.Property{{Name: "Motto", Type: "String"}}},
	)
	server := httptest.NewServer(s.imis)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.connect(server.URL, "right")
	s.exec("create table members (id integer primary key, name text, state text, joined date, dues decimal, member boolean)")
	return s
}

// connect makes prod a connection to that address.
func (s *imisSite) connect(url, password string) {
	s.t.Helper()
	s.writeFor(0o600, "connections.yaml", siteConnections+"prod: {imis: {private: true, url: '"+url+"', username: runhook, password: '"+password+"'}}\n")
}

const (
	toMembers  = "destination: {sql: {connection: db, table: members, key: [id], action: upsert}}\n"
	mapMembers = "mapping: {id: ID, name: 'row[\"Full Name\"]'}\n"
)

// fromIQA are the parameters (4 lines) and the source (2 more) of a task.
func fromIQA(path, first, second string) string {
	return "parameters:\n  - " + first + "\n  - " + second + "\nsource:\n  imis: {connection: prod, query: '" + path + "'}\n"
}

func TestCheckFindsEachFaultOfAnIQA(t *testing.T) {
	t.Parallel()
	s := newIMISSite(t)
	const state, fullName, required = "name: State", "name: FullName", "{name: State, prompt: required}"
	noRows := ":7: warning: source.imis.query: read no rows, because the IQA requires a value for State; pass -p State=VALUE"
	for _, c := range []struct {
		body string
		says []string
	}{
		{fromIQA("$/Members", state, fullName) + mapMembers + toMembers, nil},
		{fromIQA("$/Membrs", state, fullName) + mapMembers + toMembers, []string{
			":7: error: source.imis.query: there is no IQA $/Membrs on the site of connection prod, or its account cannot see it; correct source.imis.query",
		}},
		{"source:\n  imis: {connection: prod, query: $/Hidden}\n" + mapMembers + toMembers, []string{
			":4: error: source.imis.query: the IQA $/Hidden of connection prod is not available through the REST API; switch on \"Available via the REST API\" in its properties",
		}},
		{"source:\n  imis: {connection: db, query: $/Members}\n" + mapMembers + toMembers, []string{
			":4: error: source.imis.connection: the connection db in connections.yaml is of kind sqlite; the task needs one of kind imis there",
		}},

		// Prompts.
		{fromIQA("$/Members", "name: Sate", fullName) + mapMembers + toMembers, []string{
			":4: error: parameters.Sate: the IQA $/Members of connection prod has no prompt Sate; did you mean State?",
			":7: note: source.imis.query: the prompt State is no parameter of the task, so that callers cannot pass it; add - name: State to parameters if they are to",
		}},
		{fromIQA("$/Members", required, fullName) + mapMembers + toMembers, []string{
			":4: note: parameters.State: the task requires a value, and the IQA does not; take prompt: required out if callers may leave it out",
		}},
		{fromIQA("$/Members", "{name: State, multiple: true}", fullName) + mapMembers + toMembers, []string{
			":4: warning: parameters.State: the IQA's prompt takes one value, and the parameter State takes several; set it to take multiple values in the IQA, or take multiple: true out",
		}},
		{fromIQA("$/Required", state, fullName) + mapMembers + toMembers, []string{
			":4: error: parameters.State: the IQA requires a value, and the task does not: a run without one fails. Set prompt: required, or a default", noRows,
		}},
		{fromIQA("$/Required", "{name: State, default: CA}", fullName) + mapMembers + toMembers, nil},
		{fromIQA("$/Required", required, fullName) + "mapping: {id: ID, name: Fullname}\n" + toMembers, []string{
			noRows,
			":8: error: mapping.name: unknown column Fullname; did you mean Full Name? (1:1)\n     | Fullname\n     | ^",
		}},
		{"source:\n  imis: {connection: prod, query: $/Required}\n" + mapMembers + toMembers, []string{
			":4: error: source.imis.query: the IQA $/Required of connection prod requires a value for its prompt State, and the task has no parameter for it; add - {name: State, prompt: required} to parameters",
			":4: note: source.imis.query: the prompt FullName is no parameter of the task, so that callers cannot pass it; add - name: FullName to parameters if they are to",
			strings.Replace(noRows, ":7:", ":4:", 1),
		}},
		{"parameters: [{name: FullName}]\nsource:\n  imis: {connection: prod, query: $/Twice}\n" + mapMembers + toMembers, []string{
			":5: error: source.imis.endpoint: the IQA $/Twice of connection prod has several prompts named State, which /api/query cannot tell apart: give their filters different Search Labels in the IQA; or set endpoint: iqa, and list all its prompts in this order, those with a filter such as First.State and Second.State: State, FullName, State",
		}},
		{"parameters: [{filter: First.State}, {name: FullName}, {filter: Second.State}]\nsource:\n  imis: {connection: prod, query: $/Twice, endpoint: iqa}\n" + mapMembers + toMembers, nil},
		{"parameters:\n  - name: FullName\n  - name: State\n  - name: More\nsource:\n  imis: {connection: prod, query: $/Members, endpoint: iqa}\n" + mapMembers + toMembers, []string{
			":4: warning: parameters.FullName: endpoint: iqa passes values by position, and prompt number 1 of the IQA is State; list the parameters in this order: State, FullName",
			":5: warning: parameters.State: endpoint: iqa passes values by position, and prompt number 2 of the IQA is FullName; list the parameters in this order: State, FullName",
			":6: error: parameters.More: this is parameter number 3, and the IQA $/Members of connection prod has the prompts State, FullName; remove it",
		}},
		{"source:\n  imis: {connection: prod, query: $/Required, endpoint: iqa}\n" + mapMembers + toMembers, []string{
			":4: error: source.imis.query: the IQA $/Required of connection prod requires a value for its prompt State, and the task has no parameter for it; list all prompts in this order: State, FullName",
			strings.Replace(noRows, ":7:", ":4:", 1),
		}},

		// Columns.
		{"source:\n  imis: {connection: prod, query: $/Empty}\nwhere: Stat == \"CA\"\n" + mapMembers + toMembers, []string{
			":5: error: where: unknown column Stat; did you mean State? (1:1)\n     | Stat == \"CA\"\n     | ^",
		}},
		{"source:\n  imis: {connection: prod, query: $/Sparse}\nmapping:\n  id: ID\n  member: Member\n" + toMembers, []string{
			":7: warning: mapping.member: no row that was looked at has the column Member, though the source names it; a run fails where none of its first rows has it",
		}},
		{"source:\n  imis: {connection: prod, query: $/Empty}\nmapping:\n  id: State\n  joined: Dues\n  dues: Joined\n  member: ID\n" + toMembers, []string{
			":6: warning: mapping.id: the source's column State is text, but the column id of the table members does not take all of that: a row whose value is not a whole number fails",
			":7: error: mapping.joined: the source's column Dues is a number, but the column joined of the table members does not take that: each row would fail, because it is not a date like 2026-01-31; convert it, or map another column",
			":8: error: mapping.dues: the source's column Joined is a date and time, but the column dues of the table members does not take that: each row would fail, because it is not a number; convert it, or map another column",
			":9: warning: mapping.member: the source's column ID is a whole number, but the column member of the table members does not take all of that: a row whose value is not true or false (true, t, yes, y or 1; false, f, no, n or 0) fails",
		}},
	} {
		before := s.imis.Logins()
		s.expectFindings(c.body, c.says...)
		if logins := s.imis.Logins() - before; logins > 1 {
			t.Errorf("%d logins by one check of\n%s", logins, c.body)
		}
	}
	if s.imis.MostAtOnce() != 1 {
		t.Errorf("%d requests at once", s.imis.MostAtOnce())
	}
	if code, got := s.check(fromIQA("$/Required", required, fullName)+mapMembers+toMembers, "-p", "State=CA"); code != exitSuccess || strings.Contains(got, "warning") {
		t.Errorf("%d %s", code, got)
	}
}

func TestCheckFindsEachFaultOfAPanel(t *testing.T) {
	t.Parallel()
	s := newIMISSite(t)
	s.exec("create table notes (id text, code varchar(5), motto varchar(50), member boolean)")
	s.write("rows.csv", "id,code,earned\n101,A,2026-01-31\n101,SECRET,2026-01-31\n101,B,SECRET\n101,,\n")
	from := "source: {sql: {connection: db, query: 'select id, code, motto, member from notes'}}\n"
	const mapPanel, toPanel = "mapping:\n  ID: id\n  Code: code\n", "destination:\n  imis: {connection: prod, entity: My_Panel, action: insert}\n"
	for _, c := range []struct {
		body string
		says []string
	}{
		{from + mapPanel + toPanel, nil},
		{from + mapPanel + strings.Replace(toPanel, "My_Panel", "My_Panl", 1), []string{
			":8: error: destination.imis.entity: there is no panel or business object My_Panl on the site of connection prod, or its account cannot see it; did you mean My_Panel?",
		}},
		{from + "mapping:\n  ID: id\n  Motto: motto[:20]\n" + strings.Replace(toPanel, "My_Panel", "My_Hidden", 1), []string{
			":8: error: destination.imis.entity: the entity My_Hidden of connection prod is not available through the REST API; switch on \"Available via the REST API\" in its properties",
		}},
		{from + mapPanel + "  Hour: 1\n" + toPanel, []string{
			":7: error: mapping.Hour: My_Panel has no column Hour; did you mean Hours?",
		}},
		{from + mapPanel + "  Hours: member\n  Earned: \"1 == 1\"\n  Paid: int(id)\n" + toPanel, []string{
			":7: error: mapping.Hours: the source's column member is true or false, but the column Hours of My_Panel does not take that: each row would fail, because it is not a whole number; convert it, or map another column",
			":8: error: mapping.Earned: the expression gives true or false, but the column Earned of My_Panel does not take that: each row would fail, because it is not a date like 2026-01-31 or 2026-01-31T18:30:00; convert it, or map another column",
			":9: warning: mapping.Paid: the expression gives a whole number, but the column Paid of My_Panel does not take all of that: a row whose value is not true or false (true, t, yes, y or 1; false, f, no, n or 0) fails",
		}},
		{from + "mapping:\n  ID: id\n  Code: motto\n" + toPanel, []string{
			":6: warning: mapping.Code: the source's column motto has texts of up to 50 letters, and the column Code of My_Panel takes 5: a row with a longer one fails; shorten it, as in motto[:5]",
		}},
		{"source: {csv: {connection: here, path: rows.csv}}\nmapping:\n  ID: id\n  Code: code\n  Earned: earned\n" + toPanel, []string{
			":5: warning: mapping.ID: of the first 4 rows 1 would fail, from row 1 on: ID is refused by the site's validation",
			":6: warning: mapping.Code: of the first 4 rows 1 would fail, from row 2 on: Code is too long (max 5)",
			":6: warning: mapping.Code: of the first 4 rows 1 would fail, from row 4 on: Code must not be empty",
			":7: warning: mapping.Earned: of the first 4 rows 1 would fail, from row 3 on: Earned is not a date like 2026-01-31 or 2026-01-31T18:30:00",
		}},
		{from + "mapping:\n  Hours: 1\n" + toPanel, []string{
			":4: error: mapping.ID: a record of My_Panel belongs to a contact; map the column ID, the contact's iMIS ID",
			":4: error: mapping.Code: My_Panel does not take a record without Code; add it to mapping",
		}},
		{from + mapPanel + "destination:\n  imis: {connection: prod, entity: My_Panel, key: [ID], action: update}\n", []string{
			":8: error: destination.imis.key: a record of My_Panel is identified by ID, Ordinal; give all of it, or find records by match",
		}},
		{from + mapPanel + "  Scan: motto\n  Paid: member\ndestination:\n  imis: {connection: prod, entity: My_Panel, match: [Scan], append: [Paid], action: update}\n", []string{
			":10: error: destination.imis.match: a record cannot be found by Scan, which has binary data",
			":10: error: destination.imis.append: Paid has no text that values can be added to",
		}},
	} {
		s.expectFindings(c.body, c.says...)
	}
	for _, r := range s.imis.Requests() {
		if r.Method != http.MethodGet && !strings.Contains(r.Path, "/_") {
			t.Errorf("%s %s was sent", r.Method, r.Path)
		}
	}
	if len(s.imis.Rows("My_Panel")) != 0 {
		t.Error("something was written")
	}
}

// One file with faults in every part of it: each is said, and at one go.
func TestCheckFindsAllFaultsOfAnIMISTaskAtOnce(t *testing.T) {
	t.Parallel()
	s := newIMISSite(t)
	s.expectFindings("parameters:\n  - {name: State, multiple: true}\n  - name: Country\nsource:\n  imis: {connection: prod, query: $/Required}\nwhere: Stat != \"\"\nmapping:\n  Code: FullNam\n  Hours: Member\n  Earned: Joined\n  Hour: 1\ndestination:\n  imis: {connection: prod, entity: My_Panel, key: [Code], action: upsert}\n",
		":4: error: parameters.State: the IQA requires a value, and the task does not: a run without one fails. Set prompt: required, or a default",
		":4: warning: parameters.State: the IQA's prompt takes one value, and the parameter State takes several; set it to take multiple values in the IQA, or take multiple: true out",
		":5: error: parameters.Country: the IQA $/Required of connection prod has no prompt Country; it has the prompts State, FullName",
		":7: note: source.imis.query: the prompt FullName is no parameter of the task, so that callers cannot pass it; add - name: FullName to parameters if they are to",
		":7: warning: source.imis.query: read no rows, because the IQA requires a value for State; pass -p State=VALUE",
		":8: error: where: unknown column Stat; did you mean State? (1:1)\n     | Stat != \"\"\n     | ^",
		":9: error: mapping.ID: a record of My_Panel belongs to a contact; map the column ID, the contact's iMIS ID",
		":10: error: mapping.Code: unknown column FullNam; did you mean Full Name? (1:1)\n     | FullNam\n     | ^",
		":11: error: mapping.Hours: the source's column Member is true or false, but the column Hours of My_Panel does not take that: each row would fail, because it is not a whole number; convert it, or map another column",
		":13: error: mapping.Hour: My_Panel has no column Hour; did you mean Hours?",
		":15: error: destination.imis.key: a record of My_Panel is identified by ID, Ordinal; give all of it, or find records by match",
	)
	if s.imis.Logins() != 1 || s.imis.MostAtOnce() != 1 {
		t.Errorf("%d logins, %d requests at once", s.imis.Logins(), s.imis.MostAtOnce())
	}
}

// A wrong password is tried once, however many tasks and connections are checked.
func TestCheckSignsInOnce(t *testing.T) {
	t.Parallel()
	s := newIMISSite(t)
	s.connect(s.url, "wrong-SECRET")
	for i := range 3 {
		s.write(fmt.Sprintf("several/%d.yaml", i), strings.Replace(checkHead, "11111111", fmt.Sprintf("1111111%d", i), 1)+
			"source: {imis: {connection: prod, query: $/Members}}\nmapping: {ID: ID, Code: State}\ndestination: {imis: {connection: prod, entity: My_Panel, action: insert}}\n")
	}
	code, out, messages := call(t, "task", "check", s.path("several"), "--connections", s.path("connections.yaml"))
	const refused = "the site of connection prod refuses its username and password"
	if code != exitFailed || strings.Count(out, ":3: error: source.imis.connection: "+refused) != 3 || strings.Count(out, ":5: error: destination.imis.connection: "+refused) != 3 || strings.Contains(out+messages, "SECRET") {
		t.Errorf("%d %s%s", code, out, messages)
	}
	if s.imis.Logins() != 1 || len(s.imis.Requests()) != 0 {
		t.Errorf("%d logins, %d requests", s.imis.Logins(), len(s.imis.Requests()))
	}
}

// What stands between is told from the site, and soon: nobody waits for eight tries.
func TestCheckOfSitesThatAreNone(t *testing.T) {
	t.Parallel()
	s := newIMISSite(t)
	login := httptest.NewServer(http.RedirectHandler("/Login.aspx?SECRET", http.StatusFound))
	defer login.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>SECRET</html>"))
	}))
	defer page.Close()
	secure := httptest.NewTLSServer(s.imis)
	defer secure.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	body := "source: {imis: {connection: prod, query: $/Members}}\n" + mapMembers + toMembers
	for url, says := range map[string]string{
		login.URL:  "signing in to the site of connection prod is answered by a redirect to a page to sign in, " + login.URL + "/Login.aspx; the url in the connection may be wrong",
		page.URL:   "signing in to the site of connection prod answers with a page for people (HTML) instead of data; the url of connection prod may be wrong, or the site under maintenance",
		secure.URL: "the site of connection prod has a certificate that no authority known to the runner has signed; add that authority to the runner's system, or name its file in SSL_CERT_FILE",
		closed.URL: "signing in to the site of connection prod cannot be asked: nothing listens at its address, 2 times in a row",
	} {
		s.connect(url, "right")
		s.expectFindings(body, ":3: error: source.imis.connection: "+says)
	}
	s.connect(s.url, "right")
	s.imis.Fail(sitetest.Throttle("60"))
	s.expectFindings(body, ":3: error: source.imis.query: the definition of the IQA $/Members of connection prod: the site asks to wait 1m")

	// A site that does not tell what its IQAs are is read all the same.
	s.imis.SetQueries(imissite.Query{Path: "$/Untold", Columns: []imissite.Column{{Name: "ID"}}, Count: 1, Row: func(int) []any { return []any{1} }})
	other := httptest.NewServer(s.imis) // which nobody was asked to leave alone
	defer other.Close()
	s.connect(other.URL, "right")
	s.imis.Fail(sitetest.Status(http.StatusForbidden))
	s.expectFindings("source: {imis: {connection: prod, query: $/Untold}}\nmapping: {id: ID, name: Nmae}\n"+toMembers,
		":3: warning: source.imis.query: the definition of the IQA $/Untold of connection prod is not allowed to the account of the connection (status 403), so that its prompts and types could not be looked at",
		":4: error: mapping.name: unknown column Nmae; the source has ID. A text, the same in each row, stands in quotes, and in a task file in two kinds of them: '\"Nmae\"' (1:1)\n     | Nmae\n     | ^")
}

// A check that is interrupted ends.
func TestCheckIsInterrupted(t *testing.T) {
	t.Parallel()
	s := newIMISSite(t)
	s.write("checked.yaml", checkHead+"source: {imis: {connection: prod, query: $/Members}}\n"+mapMembers+toMembers)
	reached := make(chan struct{})
	s.imis.Fail(func(w http.ResponseWriter, r *http.Request) {
		close(reached)
		sitetest.Stall(w, r)
	})
	i := begin(t, "task", "check", s.path("checked.yaml"), "--connections", s.path("connections.yaml"))
	<-reached
	i.stop()
	if code := i.await(); code != exitCanceled || i.out.String() != "" {
		t.Errorf("exit code %d: %s%s", code, i.out, i.log)
	}
}

// What passed its check, and was changed on the site since, fails before its first row.
func TestColumnThatVanishesBetweenCheckAndRun(t *testing.T) {
	t.Parallel()
	s := newIMISSite(t)
	s.exec("insert into members (id, name) values (1, 'before')")
	s.write("tasks/members.yaml", "id: 22222222-2222-4222-8222-222222222222\nname: Members\nsource: {imis: {connection: prod, query: $/Members}}\n"+mapMembers+toMembers)
	mustCall(t, "task", "check", s.path("tasks/members.yaml"), "--connections", s.path("connections.yaml"))
	s.imis.SetQueries(imissite.Query{Path: "$/Members", Columns: []imissite.Column{{Name: "ID", Type: "Int32"}, {Name: "Name", Type: "String"}}, Count: 3, Row: func(i int) []any { return []any{i + 1, "after"} }})
	i := begin(t, s.args()...).listening()
	defer i.end()
	doc := i.awaitEnd(i.start("22222222-2222-4222-8222-222222222222", nil))
	if doc.Outcome() != run.Failed || !strings.Contains(doc.Message, `The IQA $/Members of connection prod does not fit the task; mapping.name: unknown column Full Name`) || doc.RowsRetrieved != 0 {
		t.Errorf("%+v", doc)
	}
	if got := names(t, s.openFile("site.db"), "select name from members"); got != "before" {
		t.Errorf("the table has %s", got)
	}
	if code, out, _ := call(t, "task", "check", s.path("tasks/members.yaml"), "--connections", s.path("connections.yaml")); code != exitFailed || !strings.Contains(out, "error: mapping.name: unknown column Full Name") {
		t.Errorf("%d %s", code, out)
	}
}
