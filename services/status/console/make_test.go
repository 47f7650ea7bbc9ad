package console_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"html"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/builtin"
	"runhook/services/runner/draft"
	"runhook/services/status/console"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/folder"
	"runhook/shared/making"
	"runhook/shared/proctest"
	"runhook/shared/task"
	"runhook/shared/taskfile"
	"runhook/shared/web"
)

// members is a file as somebody may have it: names that are nearly the table's, days as people write them, and two that
// are none.
func members() string {
	text := "Member ID,First name,Last name,E-mail,Join date,Type,<b>Fax</b>\n"
	for i := range 40 {
		day := fmt.Sprintf("%02d.%02d.20%02d", 1+i%28, 1+i%12, i%30)
		if i == 4 || i == 30 {
			day = "31.02.2026"
		}
		text += fmt.Sprintf("%d,Ada,Lovelace %d,ada%d@example.org,%s,REG,\n", 10276+i, i, i, day)
	}
	return text
}

// workshop is a site that makes tasks, with its folders and a database.
type workshop struct {
	*site
	tasks, uploads string
}

func openWorkshop(t testing.TB) *workshop {
	t.Helper()
	dir := t.TempDir()
	w := &workshop{tasks: filepath.Join(dir, "tasks"), uploads: filepath.Join(dir, "uploads")}
	if err := os.Mkdir(w.tasks, 0o755); err != nil {
		t.Fatal(err)
	}
	connections, err := connection.Parse([]byte("warehouse: {sqlite: ./warehouse.db}"), filepath.Join(dir, "connections.yaml"))
	if err == nil {
		err = connections.Bring(making.Uploads, w.uploads)
	}
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "warehouse.db"))
	if err == nil {
		_, err = db.ExecContext(t.Context(), "create table members(id integer primary key, full_name text, email text not null, joined date, member_type text)")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w.site = openAs(t, bustest.New(t, bus.Topology{}), web.Options{}, func(store *bus.Bus, view *bus.TaskView) console.Maker {
		followed, err := folder.Open(w.tasks, store.Tasks, view, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = followed.Close() })
		return draft.NewMaker(draft.MakerOptions{
			Kinds: builtin.Kinds(), Connections: connections, Uploads: w.uploads, Create: followed.Create, Taken: folder.ErrThere,
			Writable: func() bool { return true },
			Known: func(id task.ID) bool {
				_, found := view.Named(string(id))
				return found.Definition != nil
			},
		})
	})
	return w
}

// upload sends a file as a form of the page does.
func (s *site) upload(client *http.Client, token, name, text string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	return s.uploadTo("/console/new", client, token, name, text, headers...)
}

func (s *site) uploadTo(path string, client *http.Client, token, name, text string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if token != "" {
		_ = form.WriteField("form_token", token)
	}
	if name != "" {
		part, err := form.CreateFormFile("file", name)
		if err == nil {
			_, err = part.Write([]byte(text))
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	_ = form.Close()
	return s.send(client, "POST", path, body.String(), append([]string{"Content-Type: " + form.FormDataContentType()}, headers...)...)
}

// draft uploads a file, and returns the path of its page.
func (s *site) draft(client *http.Client, token, name, text string) string {
	s.t.Helper()
	response, body := s.upload(client, token, name, text)
	at := response.Header.Get("Location")
	if response.StatusCode != 303 || !regexp.MustCompile(`^new/[a-z2-7]{26}$`).MatchString(at) {
		s.t.Fatalf("%s %s %s", response.Status, at, body)
	}
	return "/console/" + at
}

var (
	fieldTags  = regexp.MustCompile(`(?s)<input ([^>]*)>|<select ([^>]*)>(.*?)</select>`)
	optionTags = regexp.MustCompile(`<option([^>]*)>([^<]*)`)
)

// filled are the fields of the form of a page, as a browser would send them.
func filled(page string) url.Values {
	attribute := func(of, name string) string {
		found := regexp.MustCompile(`(?:^| )` + name + `="([^"]*)"`).FindStringSubmatch(of)
		if found == nil {
			return ""
		}
		return html.UnescapeString(found[1])
	}
	_, page, _ = strings.Cut(page, `id="new"`)
	values := url.Values{}
	for _, tag := range fieldTags.FindAllStringSubmatch(page, -1) {
		if kind := attribute(tag[1], "type"); (kind == "checkbox" || kind == "radio") && !strings.Contains(tag[1], " checked") {
			continue
		}
		if tag[1] != "" {
			values.Add(attribute(tag[1], "name"), attribute(tag[1], "value"))
			continue
		}
		options := optionTags.FindAllStringSubmatch(tag[3], -1)
		chosen := options[0]
		for _, option := range options {
			if strings.Contains(option[1], " selected") {
				chosen = option
			}
		}
		value := html.UnescapeString(chosen[2])
		if strings.Contains(chosen[1], "value=") {
			value = attribute(chosen[1], "value")
		}
		values.Add(attribute(tag[2], "name"), value)
	}
	return values
}

// A task is made of a file without a script: what is suggested is shown with its reasons and with what all rows make of
// it, and saved as it was shown.
func TestMakingATask(t *testing.T) {
	t.Parallel()
	w := openWorkshop(t)
	ann := visitor(t)
	token := w.signIn(ann, w.code(annToken))
	if _, page := w.send(ann, "GET", "/console/", ""); !strings.Contains(page, `href="new"`) {
		t.Errorf("nothing leads to a new task:\n%s", page)
	}
	at := w.draft(ann, token, "Members October.csv", members())
	response, page := w.send(ann, "GET", at, "")
	text := strings.Join(strings.Fields(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " "))), " ")
	for _, want := range []string{
		"members-october.csv , 40 rows, 7 columns", "Matched by name: 5 of 5", "id whole number key", "similar name", "a formula that was made from two columns",
		"10276 · 10277 · 10278", "Ada Lovelace 0", "2 values do not fit in rows 5, 31, such as 31.02.2026 : is not a date like dd.MM.yyyy",
		"Not used: <b>Fax</b> .", "The key fits : 38 values", "5 10280", "All 40 rows were looked at: 38 fit, 2 would fail.",
	} {
		if response.StatusCode != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: there is no %q in %s", response.Status, want, text)
		}
	}
	if len(page) > 60<<10 || strings.Contains(page, "<b>Fax") {
		t.Errorf("%d bytes:\n%s", len(page), page)
	}

	// A choice is answered with what becomes of it, and a wrong formula where it is.
	form := filled(page)
	change := func(then string, with ...string) (*http.Response, string) {
		t.Helper()
		sent := url.Values{"then": {then}}
		for name, values := range form {
			sent[name] = values
		}
		for i := 0; i < len(with); i += 2 {
			sent.Set(with[i], with[i+1])
		}
		return w.send(ann, "POST", at, sent.Encode())
	}
	if _, page := change("look", "m-joined", "", "m-member_type", "=", "f-member_type", "Typ"); !strings.Contains(page, "The formula cannot be used") || !strings.Contains(page, "All 40 rows") && !strings.Contains(page, "did you mean") {
		t.Errorf("%s", page)
	}
	if _, page := change("look", "m-email", ""); !strings.Contains(page, "The column email of the table members must not be empty") || strings.Contains(page, `value="save"`) {
		t.Errorf("%s", page)
	}
	if response, page := change("save", "m-email", ""); response.StatusCode != 422 || !strings.Contains(page, "Nothing was saved.") {
		t.Errorf("%s %s", response.Status, page)
	}
	if _, page := change("look", "d-joined", ""); !strings.Contains(page, "40 values do not fit") {
		t.Errorf("%s", page)
	}
	if response, page := change("save", "table", "+", "newtable", "others"); response.StatusCode != 409 || !strings.Contains(page, "Nothing was saved yet") || !strings.Contains(page, "create: true") {
		t.Errorf("%s %s", response.Status, page)
	}
	for _, name := range []string{"../out.yaml", "a/b.yaml", "members.txt", ".yaml", "Members.yaml"} {
		if response, page := change("save", "fname", name); response.StatusCode != 422 || !strings.Contains(page, "ends in .yaml") {
			t.Errorf("%s: %s %s", name, response.Status, page)
		}
	}
	if err := os.WriteFile(filepath.Join(w.tasks, "members-october.yaml"), []byte("name: not mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if response, page := change("save"); response.StatusCode != 409 || !strings.Contains(page, "there is a task file of this name already") {
		t.Errorf("%s %s", response.Status, page)
	}
	if kept, err := os.ReadFile(filepath.Join(w.tasks, "members-october.yaml")); err != nil || string(kept) != "name: not mine\n" {
		t.Errorf("%s %v", kept, err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.uploads, "*.csv")); len(left) != 0 {
		t.Errorf("what was not saved left %v", left)
	}

	// It is saved as it was shown, and runs. The uploaded file has a place of its own, from which the task reads it.
	if err := os.Remove(filepath.Join(w.tasks, "members-october.yaml")); err != nil {
		t.Fatal(err)
	}
	response, page = change("run", "fname", "october.yaml", "name", "Members & friends")
	if response.StatusCode != 303 || response.Header.Get("Location") != "../runs/1" {
		t.Fatalf("%s %s %s", response.Status, response.Header.Get("Location"), page)
	}
	def, err := taskfile.ReadFile(filepath.Join(w.tasks, "october.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	from, to := def.Source.(*task.CSVSource), def.Destination.(*task.SQLDestination)
	if def.Name != "Members & friends" || from.Connection != "uploads" || from.Path != "members-october.csv" || to.Table != "members" || to.Action != task.Upsert || len(def.Mapping) != 5 {
		t.Errorf("%s", def.Text)
	}
	if kept, err := os.ReadFile(filepath.Join(w.uploads, from.Path)); err != nil || string(kept) != members() {
		t.Errorf("%s %v", kept, err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.uploads, "drafts", "*")); len(left) != 0 {
		t.Errorf("there are drafts: %v", left)
	}
	if log := w.log.String(); !strings.Contains(log, `"by":"ann","via":"page"`) || !strings.Contains(log, "task made on the page") {
		t.Errorf("%s", log)
	}
	if response, page := change("save", "fname", "again.yaml"); response.StatusCode != 404 || !strings.Contains(page, "The uploaded file is not there any more") {
		t.Errorf("%s %s", response.Status, page)
	}
	// The same file once more gets a name of its own.
	at = w.draft(ann, token, "members-october.csv", members())
	if _, page := w.send(ann, "GET", at, ""); !strings.Contains(page, "path: members-october-2.csv") {
		t.Errorf("%s", page)
	}
}

// A task reads a newer file once somebody has seen what it makes of that. One that no run could read is not taken.
func TestANewerFile(t *testing.T) {
	t.Parallel()
	w := openWorkshop(t)
	ann, viewer := visitor(t), visitor(t)
	token, reading := w.signIn(ann, w.code(annToken)), w.signIn(viewer, w.code(viewToken))
	at := w.draft(ann, token, "october.csv", members())
	_, page := w.send(ann, "GET", at, "")
	form := filled(page)
	form.Set("then", "save")
	response, page := w.send(ann, "POST", at, form.Encode())
	id, made := strings.CutPrefix(response.Header.Get("Location"), "../tasks/")
	if !made {
		t.Fatalf("%s %s", response.Status, page)
	}
	if _, page := w.send(ann, "GET", "/console/tasks/"+id, ""); !strings.Contains(page, "<bdi>october.csv</bdi></code> was uploaded here") {
		t.Errorf("%s", page)
	}
	if _, page := w.send(viewer, "GET", "/console/tasks/"+id, ""); strings.Contains(page, "was uploaded here") {
		t.Errorf("%s", page)
	}
	newer := func(name, text string) (at, page string) {
		t.Helper()
		response, page := w.uploadTo("/console/tasks/"+id+"/file", ann, token, name, text)
		at = response.Header.Get("Location")
		if response.StatusCode != 303 || !strings.HasPrefix(at, "../../tasks/"+id+"/file/") {
			t.Fatalf("%s %s %s", response.Status, at, page)
		}
		at = "/console/" + strings.TrimPrefix(at, "../../")
		_, page = w.send(ann, "GET", at, "")
		return at, page
	}
	use := url.Values{"form_token": {token}, "then": {"use"}}
	kept := func() string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(w.uploads, "october.csv"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, want := range map[string]string{"november.csv": "Join date", "november.xlsx": "The task reads a file that ends in .csv"} {
		text := strings.Replace(members(), "Join date", "Joined", 1)
		if name == "november.xlsx" {
			text = "PK\x05\x06" + strings.Repeat("\x00", 18) // an empty archive
		}
		at, page := newer(name, text)
		if !strings.Contains(page, want) || strings.Contains(page, "Use it") {
			t.Errorf("%s: %s", name, page)
		}
		if response, page := w.send(ann, "POST", at, use.Encode()); response.StatusCode != 422 || !strings.Contains(page, "The file was not taken.") || kept() != members() {
			t.Errorf("%s %s", response.Status, page)
		}
	}
	text := strings.ReplaceAll(members(), "31.02.2026", "28.02.2026") + "99999,Grace,Hopper,,01.01.2026,REG,\n"
	at, page = newer("november.csv", text)
	if !strings.Contains(page, "41 rows: 41 fit, 0 would fail") && !strings.Contains(page, "41 rows: 40 fit, 1 would fail") || !strings.Contains(page, "Use it and run") || kept() != members() {
		t.Errorf("%s", page)
	}
	if response, _ := w.send(viewer, "POST", at, url.Values{"form_token": {reading}, "then": {"use"}}.Encode()); response.StatusCode != 403 || kept() != members() {
		t.Errorf("%s", response.Status)
	}
	use.Set("then", "run")
	if response, page := w.send(ann, "POST", at, use.Encode()); response.Header.Get("Location") != "../../../runs/1" || kept() != text {
		t.Errorf("%s %s %s", response.Status, response.Header.Get("Location"), page)
	}
	if response, page := w.send(ann, "POST", at, use.Encode()); response.StatusCode != 404 || !strings.Contains(page, "not there any more") {
		t.Errorf("%s %s", response.Status, page)
	}
	other := w.apply("Reads another file")
	if response, page := w.uploadTo("/console/tasks/"+string(other.ID)+"/file", ann, token, "in.csv", "id\n1\n"); response.StatusCode != 409 || !strings.Contains(page, "reads no file that was uploaded here") {
		t.Errorf("%s %s", response.Status, page)
	}
}

// What cannot be used is refused with what to do, and who may not make tasks makes none.
func TestUploadsAreRefused(t *testing.T) {
	t.Parallel()
	w := openWorkshop(t)
	ann, viewer := visitor(t), visitor(t)
	token, reading := w.signIn(ann, w.code(annToken)), w.signIn(viewer, w.code(viewToken))
	for _, each := range []struct {
		client            *http.Client
		token, name, text string
		header            string
		status            int
		want              string
	}{
		{ann, token, "", "", "", 422, "Choose a file first"},
		{ann, token, "empty.csv", "", "", 422, "The file is empty"},
		{ann, token, "letter.docx", "x", "", 422, "must be a workbook (.xlsx) or a CSV file"},
		{ann, token, "odd.csv", "%PDF-1.7 x", "", 422, "is a PDF"},
		{ann, "", "in.csv", "id\n1\n", "", 403, "The form does not have the token"},
		{ann, token, "in.csv", "id\n1\n", "Origin: https://evil.example", 403, "other sites may not use"},
		{viewer, reading, "in.csv", "id\n1\n", "", 403, "only reads"},
		{visitor(t), token, "in.csv", "id\n1\n", "", 401, "You are signed out"},
		{ann, token, "large.csv", "id\n" + strings.Repeat("1\n", making.MaxUpload/2+1<<16), "", 413, "more than 16 MiB"},
	} {
		var headers []string
		if each.header != "" {
			headers = []string{each.header}
		}
		response, page := w.upload(each.client, each.token, each.name, each.text, headers...)
		if response.StatusCode != each.status || !strings.Contains(html.UnescapeString(page), each.want) {
			t.Errorf("%s: %s %s", each.name, response.Status, page)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(w.uploads, "drafts", "*")); len(left) != 0 {
		t.Errorf("there are drafts: %v", left)
	}
	// A file that is larger than any other body.
	at := w.draft(ann, token, `C:\My files\..\large.csv`, "id,name\n"+strings.Repeat("1,Ann\n", 200_000))
	if _, page := w.send(ann, "GET", at, ""); !strings.Contains(page, "<bdi>large.csv</bdi></b>, 200,000 rows") && !strings.Contains(page, "more than") {
		t.Errorf("%s", page)
	}
	for _, path := range []string{"/console/new", at} {
		if response, page := w.send(viewer, "GET", path, ""); response.StatusCode != 403 || !strings.Contains(page, "only reads") {
			t.Errorf("%s: %s %s", path, response.Status, page)
		}
	}
	for _, path := range []string{"/console/new/" + strings.Repeat("a", 26), "/console/new/x"} {
		if response, page := w.send(ann, "GET", path, ""); response.StatusCode != 404 {
			t.Errorf("%s: %s %s", path, response.Status, page)
		}
	}

	// A status service alone says where tasks are made.
	alone := open(t, bustest.New(t, bus.Topology{}))
	token = alone.signIn(ann, alone.code(annToken))
	if response, page := alone.upload(ann, token, "in.csv", "id\n1\n"); response.StatusCode != 501 && response.StatusCode != 413 {
		t.Errorf("%s %s", response.Status, page)
	}
	if response, page := alone.send(ann, "GET", "/console/new", ""); response.StatusCode != 501 || !strings.Contains(page, "runhook serve") {
		t.Errorf("%s %s", response.Status, page)
	}
	if _, page := alone.send(ann, "GET", "/console/", ""); strings.Contains(page, `href="new"`) {
		t.Errorf("%s", page)
	}
}

// testMaking makes a task in a browser: a file is read when it is chosen, each choice is answered, and the task is
// saved and run.
func testMaking(t *testing.T, b *browser) {
	w := openWorkshop(t)
	p := w.signedIn(b, annToken)
	p.click(named("New task from a file"))
	p.shows("New task from a file")
	p.accessible("new task")
	file := filepath.Join(t.TempDir(), "members-october.csv")
	if err := os.WriteFile(file, []byte(members()), 0o600); err != nil {
		t.Fatal(err)
	}
	p.choose("#file", file)
	p.until(`document.body.innerText.includes('Matched by name: 5 of 5')`)
	p.accessible("making a task")
	choose := func(id, value string) {
		t.Helper()
		p.eval(fmt.Sprintf(`(e => { e.focus(); e.value = %q; e.dispatchEvent(new Event('change', {bubbles: true})); })(document.getElementById(%q))`, value, id))
	}
	choose("m4", "=")
	p.until(`document.getElementById('f4') && document.activeElement.id === 'm4'`)
	choose("f4", `Type == "REG" ? "regular" : Type`)
	p.until(`[...document.querySelectorAll('td')].some(cell => cell.innerText === 'regular')`)
	p.until(`document.querySelector('#say').textContent === 'Preview is up to date: 2 of 40 rows would fail'`)
	choose("table", "+")
	p.until(`document.getElementById('newtable')?.value === 'members_october' && document.body.innerText.includes('create: true')`)
	p.accessible("making a table")
	choose("table", "members")
	p.until(`document.body.innerText.includes('Matched by name: 5 of 5')`)
	p.click(named("Save and run"))
	p.shows("Run 1 of Members october")
	p.click(named("Members october"))
	p.shows("Members october")
	p.choose("#newer", file)
	p.shows("New file")
	p.accessible("newer file")
	p.click(named("Use it and dry run"))
	p.shows("Run 2 of Members october")
	proctest.Eventually(t, "the file is there", func() bool {
		_, err := os.Stat(filepath.Join(w.tasks, "members-october.yaml"))
		return err == nil
	})
}

// A file of many columns with long values, names that are markup, and names from right to left.
func TestManyColumns(t *testing.T) {
	t.Parallel()
	w := openWorkshop(t)
	ann := visitor(t)
	token := w.signIn(ann, w.code(annToken))
	var names, values []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("Column name %d", i))
		values = append(values, strings.Repeat("long value ", 20))
	}
	row := strings.Join(values, ";") + "\n"
	names[1] = "<b>1</b> " + hebrew
	at := w.draft(ann, token, "wide.csv", strings.Join(names, ";")+"\n"+strings.Repeat(row, 30))
	response, page := w.send(ann, "GET", at, "")
	if response.StatusCode != 200 || len(page) > 60<<10 || strings.Contains(page, "<b>1") || !strings.Contains(page, "&lt;b&gt;1") || !strings.Contains(page, "48 more columns are not shown here") || !strings.Contains(page, `value="save"`) {
		t.Errorf("%s, %d bytes", response.Status, len(page))
	}
	form := filled(page)
	form.Set("then", "save")
	if response, page := w.send(ann, "POST", at, form.Encode()); response.StatusCode != 303 {
		t.Errorf("%s %s", response.Status, page)
	}
}
