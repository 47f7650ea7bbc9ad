package main

import (
	"bytes"
	"html"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"runhook/services/status/xlsx"
	"runhook/shared/proctest"
)

// visitor is somebody on the page of a server, without a script.
type visitor struct {
	t      testing.TB
	server string
	client http.Client
	token  string
}

// visit signs in by a link.
func visit(t testing.TB, server, link string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	v := &visitor{t: t, server: server, client: http.Client{Jar: jar, Transport: transport}}
	_, code, _ := strings.Cut(strings.TrimSpace(link), "#")
	_, page := v.send("/console/signin", url.Values{"code": {code}})
	found := regexp.MustCompile(`name="form_token" value="([^"]+)"`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("nobody is signed in: %s", page)
	}
	v.token = found[1]
	return v
}

// send sends a form, and returns where that led to, and the page there.
func (v *visitor) send(path string, form url.Values) (at, page string) {
	v.t.Helper()
	if v.token != "" {
		form.Set("form_token", v.token)
	}
	return v.post(path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

func (v *visitor) post(path, kind string, body io.Reader) (at, page string) {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.server+path, body)
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("Origin", v.server)
	request.Header.Set("Content-Type", kind)
	answer, err := v.client.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.Request.URL.Path, string(read)
}

// upload uploads a file to an address of the page.
func (v *visitor) upload(path, name string, data []byte) (at, page string) {
	v.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	err := form.WriteField("form_token", v.token)
	if err == nil {
		var part io.Writer
		if part, err = form.CreateFormFile("file", name); err == nil {
			_, err = part.Write(data)
		}
	}
	if err != nil || form.Close() != nil {
		v.t.Fatal(err)
	}
	return v.post(path, form.FormDataContentType(), &body)
}

// workbook is one of a sheet with rows.
func workbook(t testing.TB, rows ...[]string) []byte {
	t.Helper()
	var data bytes.Buffer
	book, err := xlsx.New(&data, "Members")
	for i := 0; err == nil && i < len(rows); i++ {
		err = book.Write(rows[i])
	}
	if err == nil {
		err = book.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

// A task is made on the page of a workbook, which needs neither a folder of the server's nor a connection for it. Its
// webhook reads the workbook again after a restart.
func TestTaskOfAWorkbook(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	args := s.args("--listen", proctest.FreeAddress(t), "--admin-token-file", s.token())
	i := begin(t, args...).listening()
	v := visit(t, i.url, mustCall(t, "console", "--server", i.url, "--token-file", s.path("admin.token")))
	at, page := v.upload("/console/new", "New members.xlsx", workbook(t, []string{"Member ID", "First name", "Joined"}, []string{"7", "Ann", "31.01.2026"}, []string{"8", "Ben", "30.02.2026"}, []string{"9", "Cy", "15.02.2026"}))
	if !strings.HasPrefix(at, "/console/new/") || !strings.Contains(page, "new-members.xlsx</bdi></b>, 3 rows, 3 columns") {
		t.Fatalf("%s: %s", at, page)
	}
	// A new table, of which the columns and the key are suggested.
	_, page = v.send(at, url.Values{"then": {"look"}, "table": {"+"}, "newtable": {"members"}, "conn": {"db"}, "sheet": {"Members"}, "header": {"0"}})
	of := regexp.MustCompile(`name="for" value="([^"]+)"`).FindStringSubmatch(page)
	if of == nil || !strings.Contains(page, "its values are days") || !strings.Contains(page, "30.02.2026") {
		t.Fatalf("%s", page)
	}
	at, page = v.send(at, url.Values{
		"then": {"run"}, "for": {html.UnescapeString(of[1])}, "table": {"+"}, "newtable": {"members"}, "conn": {"db"}, "sheet": {"Members"}, "header": {"0"},
		"m-Member ID": {"Member ID"}, "m-First name": {"First name"}, "m-Joined": {"Joined"}, "t-Joined": {"date"}, "d-Joined": {"dd.MM.yyyy"}, "o-Joined": {"Joined"},
		"key": {"Member ID"}, "action": {"upsert"}, "name": {"New members"}, "fname": {"new-members.yaml"},
	})
	if at != "/console/runs/1" {
		t.Fatalf("%s: %s", at, page)
	}
	ended := func(number string) string {
		t.Helper()
		_, out, messages := call(t, "runs", "watch", number, "--server", i.url, "--token-file", s.path("admin.token"))
		return out + messages
	}
	if said := ended("1"); !strings.Contains(said, "2 inserted, 1 failed") {
		t.Fatalf("%s", said)
	}
	if got := names(t, s.open(), `select "First name" from members order by "Member ID"`); got != "Ann,Cy" {
		t.Errorf("%s", got)
	}
	if text := read(t, s.path("tasks/new-members.yaml")); !strings.Contains(text, "csv: {connection: uploads, path: new-members.xlsx, sheet: Members}") {
		t.Errorf("%s", text)
	}
	if file, err := os.Stat(s.path("data/uploads/new-members.xlsx")); err != nil || file.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v %v", file, err)
	}
	i.end()

	s.execute(`delete from members`)
	i = begin(t, args...).listening()
	mustCall(t, "run", "New members", "--wait", "--server", i.url, "--token-file", s.path("admin.token"))
	if got := names(t, s.open(), `select "First name" from members order by "Member ID"`); got != "Ann,Cy" {
		t.Errorf("after a restart: %s", got)
	}
	i.end()
}

// Failed rows are corrected on the page: in their cells, and in the workbook that has them. Each becomes a run of the
// task that reads just these rows, also if the server is restarted before it begins.
func TestFailedRowsAreCorrected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("people.csv", "id,name,city\n1,Ann,Oslo\nx2,Ben,Rome\nx3,Cy,Oslo\nx4,Dee,Bonn\n")
	s.execute(`create table people(id integer primary key, name text)`)
	args := s.args("--listen", proctest.FreeAddress(t), "--admin-token-file", s.token())
	i := begin(t, args...).listening()
	token := []string{"--server", i.url, "--token-file", s.path("admin.token")}
	v := visit(t, i.url, mustCall(t, append([]string{"console"}, token...)...))
	mustCall(t, append([]string{"run", "Copy people", "--wait"}, token...)...)
	ended := func(number string) string {
		t.Helper()
		_, out, messages := call(t, append([]string{"runs", "watch", number}, token...)...)
		return out + messages
	}
	_, page := v.get("/console/runs/1")
	for _, want := range []string{`name="c.2.0" value="x2"`, `name="c.3.0" value="x3"`, `<span class="q"><bdi>name</bdi></span> <bdi>Ben</bdi>`, "Run the corrected rows", "drop it here"} {
		if !strings.Contains(page, want) {
			t.Fatalf("there is no %s: %s", want, page)
		}
	}

	// Cells: of the rows that were changed, just these.
	once := regexp.MustCompile(`correct" method="post">.*name="once" value="([^"]+)"`).FindStringSubmatch(page)
	fixed := url.Values{"once": {once[1]}, "rows": {""}, "c.2.0": {"2"}, "c.3.0": {"x3"}, "c.4.0": {"x4"}}
	at, page := v.send("/console/runs/1/correct", fixed)
	if at != "/console/runs/2" || !strings.Contains(page, `Corrects</dt><dd><a href="../runs/1">run 1</a>`) {
		t.Fatalf("%s: %s", at, page)
	}
	if said := ended("2"); !strings.Contains(said, "1 row read, 1 inserted") {
		t.Errorf("%s", said)
	}
	if got := s.people(); got != "Ann,Ben" {
		t.Errorf("%s", got)
	}
	if again, _ := v.send("/console/runs/1/correct", fixed); again != "/console/runs/2" {
		t.Errorf("the same form again: %s", again)
	}
	if out := mustCall(t, append([]string{"runs", "list", "--trigger", "correction"}, token...)...); !strings.Contains(out, "correction") || strings.Count(out, "Copy people") != 1 {
		t.Errorf("%s", out)
	}
	if _, _, messages := call(t, append([]string{"runs", "again", "2"}, token...)...); !strings.Contains(messages, "has read corrected rows of run 1") {
		t.Errorf("%s", messages)
	}
	if out := mustCall(t, append([]string{"runs", "show", "2"}, token...)...); !strings.Contains(out, "Corrects") {
		t.Errorf("%s", out)
	}

	// A file: what is still wrong fails again, and can be corrected again.
	answer, err := v.client.Get(i.url + "/console/runs/1/rejected.csv")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || !strings.HasPrefix(string(text), "id,name,Row,Column,Reason") && !strings.Contains(string(text), "id,name") {
		t.Fatalf("%s %v", text, err)
	}
	if at, page := v.upload("/console/runs/1/corrected", "fixed.xlsx", workbook(t, []string{"number", "name"}, []string{"3", "Cy"})); at != "/console/runs/1/corrected" || !strings.Contains(page, "The file has no column id") {
		t.Errorf("%s: %s", at, page)
	}
	if at, page := v.upload("/console/runs/1/corrected", "fixed.csv", []byte(strings.Replace(string(text), "x3", "3", 1))); at != "/console/runs/3" {
		t.Fatalf("%s: %s", at, page)
	}
	if said := ended("3"); !strings.Contains(said, "3 rows read, 1 inserted, 2 failed") {
		t.Errorf("%s", said)
	}
	city := ""
	for _, column := range strings.Split(strings.SplitN(string(text), "\n", 2)[0], ",") {
		if column == "city" {
			city = "Bonn"
		}
	}
	header, row := []string{"name", "id"}, []string{"Dee", "4"}
	if city != "" {
		header, row = append(header, "city"), append(row, city)
	}
	release := s.hold()
	if at, page = v.upload("/console/runs/3/corrected", "fixed.xlsx", workbook(t, header, row)); at != "/console/runs/4" {
		t.Fatalf("%s: %s", at, page)
	}
	i.end()
	release()
	i = begin(t, args...).listening()
	if said := ended("4"); !strings.Contains(said, "1 row read, 1 inserted") {
		t.Errorf("%s", said)
	}
	if got := s.people(); got != "Ann,Ben,Cy,Dee" {
		t.Errorf("%s", got)
	}

	// What is erased takes the corrected rows with it.
	mustCall(t, append([]string{"runs", "delete", "1", "4", "--yes"}, token...)...)
	i.end()
}

// get gets an address of the page.
func (v *visitor) get(path string) (status int, page string) {
	v.t.Helper()
	answer, err := v.client.Get(v.server + path)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.StatusCode, string(read)
}
