package console_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// correctable stores a task whose failed rows can be corrected.
func (w *workshop) correctable() *task.Definition {
	w.t.Helper()
	def, err := taskfile.Parse(fmt.Appendf(nil, "id: %s\nname: Members\nparameters: [{name: State}]\nsource: {csv: {connection: uploads, path: in.csv}}\nmapping: {id: id, full_name: 'first + \" \" + last', email: email}\n"+
		"destination: {sql: {connection: warehouse, table: members, key: [id], action: upsert}}\n", task.NewID()), "test.yaml")
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.Tasks.Apply(w.t.Context(), def, false); err != nil {
		w.t.Fatal(err)
	}
	proctest.Eventually(w.t, "the service knows the task", func() bool {
		response, _ := w.send(visitor(w.t), "GET", "/api/tasks/"+string(def.ID), "", "Authorization: Bearer "+annToken)
		return response.StatusCode == 200
	})
	return def
}

// wrong are failed rows of a correctable task.
func wrong() run.RejectedChunk {
	return run.RejectedChunk{Columns: []string{"id", "first", "last", "email", "<note>"}, Delimiter: ",", Rows: []run.RejectedRow{
		{Row: 6, Column: "email", Reason: "is not a valid address", Cells: []string{"12985", "Ada", "Lovelace", "<a@b>@example", "one\r\ntwo"}},
		{Row: 77, Column: "full_name", Reason: "is too long", Cells: []string{"13002", "Émilie", "du Châtelet", "e@example.org", ""}},
		{Row: 80, Column: "", Reason: "violates a rule of the table", Cells: []string{"13010", "Grace", "Hopper", "g@example.org", "a\r\nb"}},
	}}
}

// stored are the rows that a run reads that was started with corrections.
func (w *workshop) stored(def *task.Definition, n run.Number) (request run.Request, chunk run.RejectedChunk) {
	w.t.Helper()
	request, err := w.Runs.Request(w.t.Context(), def.ID, n)
	if err != nil || request.Correction == nil {
		w.t.Fatalf("%+v %v", request, err)
	}
	chunk, err = w.Work.Corrected(w.t.Context(), def.ID, *request.Correction, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	return request, chunk
}

// The cells that a failed column uses can be corrected without a script. What was changed becomes a run of just these
// rows, with the parameters of the first one.
func TestCorrecting(t *testing.T) {
	t.Parallel()
	w := openWorkshop(t)
	def := w.correctable()
	w.submit(def, func(r *run.Request) {
		r.Parameters = task.Values{"State": {Values: []string{"CA"}, From: task.FromRequest}}
	}).begin().end(run.Success, "1 row processed, 3 failed", wrong())
	ann, viewer := visitor(t), visitor(t)
	token, reading := w.signIn(ann, w.code(annToken)), w.signIn(viewer, w.code(viewToken))
	_, page := w.send(ann, "GET", "/console/runs/1", "")
	for name, there := range map[string]bool{"c.6.3": true, "c.6.0": false, "c.77.1": true, "c.77.2": true, "c.77.3": false, "c.80.0": true, "c.80.4": true} {
		if strings.Contains(page, `name="`+name+`"`) != there {
			t.Errorf("the field %s: %t\n%s", name, !there, page)
		}
	}
	once := regexp.MustCompile(`name="once" value="([^"]+)"><input type="hidden" name="rows"`).FindStringSubmatch(page)
	if once == nil || strings.Contains(page, "<a@b>") {
		t.Fatalf("%s", page)
	}
	// A browser sends each field, with its own line ends.
	sent := url.Values{
		"form_token": {token}, "once": {once[1]}, "rows": {""}, "c.6.3": {"ada@example.org"}, "c.77.1": {"Émilie"}, "c.77.2": {"du Châtelet"},
		"c.80.0": {"13010"}, "c.80.1": {"Grace"}, "c.80.2": {"Hopper"}, "c.80.3": {"g@example.org"}, "c.80.4": {"a\r\nb"},
	}
	response, page := w.send(ann, "POST", "/console/runs/1/correct", sent.Encode())
	if response.StatusCode != 303 || response.Header.Get("Location") != "../../runs/2" {
		t.Fatalf("%s %s %s", response.Status, response.Header.Get("Location"), page)
	}
	request, chunk := w.stored(def, 2)
	if request.Trigger != run.Corrections || request.RepeatOf != 1 || request.Operator != "ann" || request.Parameters["State"].Values[0] != "CA" || request.Correction.Rows != 1 {
		t.Errorf("%+v", request)
	}
	if len(chunk.Rows) != 1 || fmt.Sprint(chunk.Rows[0].Cells) != fmt.Sprint([]string{"12985", "Ada", "Lovelace", "ada@example.org", "one\r\ntwo"}) {
		t.Errorf("%+v", chunk)
	}
	// Unchanged, all that are shown are run again, as they were read.
	delete(sent, "c.6.3")
	sent.Set("once", "another")
	if response, page := w.send(ann, "POST", "/console/runs/1/correct", sent.Encode()); response.Header.Get("Location") != "../../runs/3" {
		t.Errorf("%s %s", response.Status, page)
	}
	if _, chunk := w.stored(def, 3); len(chunk.Rows) != 3 || chunk.Rows[2].Cells[4] != "a\r\nb" {
		t.Errorf("%+v", chunk)
	}
	// Who only reads, and a form of another page, starts nothing.
	sent.Set("form_token", reading)
	if response, _ := w.send(viewer, "POST", "/console/runs/1/correct", sent.Encode()); response.StatusCode != 403 {
		t.Errorf("%s", response.Status)
	}
	if _, page := w.send(viewer, "GET", "/console/runs/1", ""); strings.Contains(page, `name="c.6.3"`) || !strings.Contains(page, "is not a valid address") {
		t.Errorf("%s", page)
	}
	if response, _ := w.send(ann, "POST", "/console/runs/1/correct", sent.Encode()); response.StatusCode != 403 {
		t.Errorf("%s", response.Status)
	}
	// A run again of a correction reads the same rows.
	response, page = w.send(ann, "POST", "/console/runs/2/again", url.Values{"form_token": {token}, "once": {"third"}}.Encode())
	if response.Header.Get("Location") != "../../runs/4" {
		t.Fatalf("%s %s", response.Status, page)
	}
	if again, _ := w.stored(def, 4); again.Correction.Of != 1 || again.RepeatOf != 2 || again.Correction.Key != request.Correction.Key {
		t.Errorf("%+v", again)
	}
	// A task whose file is replaced by each run has no rows corrected: the others would be lost.
	replaced := w.apply("Replaced")
	w.submit(replaced, nil).begin().end(run.Success, "1 row processed, 3 failed", wrong())
	sent.Set("form_token", token)
	if response, page := w.send(ann, "POST", "/console/runs/5/correct", sent.Encode()); response.StatusCode != 409 || !strings.Contains(page, "a file that each run replaces") {
		t.Errorf("%s %s", response.Status, page)
	}
	if _, page := w.send(ann, "GET", "/console/runs/5", ""); strings.Contains(page, "Run the corrected rows") || !strings.Contains(page, "Correct the rows in a copy of the file") {
		t.Errorf("%s", page)
	}
}

// testCorrecting corrects rows in a browser, in their cells and in a file.
func testCorrecting(t *testing.T, b *browser) {
	w := openWorkshop(t)
	def := w.correctable()
	w.submit(def, nil).begin().end(run.Success, "1 row processed, 3 failed", wrong())
	p := w.signedIn(b, annToken)
	p.visit(w.url + "/console/runs/1")
	p.shows("Run 1 of Members")
	p.accessible("correcting rows")
	p.eval(`document.getElementById('c.6.3').select()`)
	p.write("ada@example.org")
	p.click(named("Run the corrected rows"))
	p.shows("Run 2 of Members")
	p.until(`document.body.innerText.includes('Corrects')`)
	if _, chunk := w.stored(def, 2); len(chunk.Rows) != 1 || chunk.Rows[0].Cells[3] != "ada@example.org" {
		t.Errorf("%+v", chunk)
	}
	file := filepath.Join(t.TempDir(), "rejected-1.csv")
	if err := os.WriteFile(file, []byte("Row,id,first,last,email,<note>\n77,13002,E.,du Châtelet,e@example.org,\n80,13010,G.,Hopper,g@example.org,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.visit(w.url + "/console/runs/1")
	p.shows("Run 1 of Members")
	p.choose("#fixed", file)
	p.shows("Run 3 of Members")
	if _, chunk := w.stored(def, 3); len(chunk.Rows) != 2 || strings.Join(chunk.Columns, ",") != "id,first,last,email,<note>" || chunk.Rows[1].Cells[1] != "G." {
		t.Errorf("%+v", chunk)
	}
}

// choose chooses a file as a person would, in the field that a selector finds.
func (p *page) choose(selector, file string) {
	p.t.Helper()
	var root struct{ Root struct{ NodeID int } }
	p.must(p.session, "DOM.getDocument", nil, &root)
	var input struct{ NodeID int }
	p.must(p.session, "DOM.querySelector", map[string]any{"nodeId": root.Root.NodeID, "selector": selector}, &input)
	p.must(p.session, "DOM.setFileInputFiles", map[string]any{"nodeId": input.NodeID, "files": []string{file}})
}
