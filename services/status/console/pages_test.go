package console_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
	"runhook/shared/web"
)

// A name that is markup, and one that is written from right to left.
const (
	markup  = `<b>Members</b> & "friends"`
	hebrew  = "חברים חדשים"
	oneLine = "a-name-of-more-than-eighty-letters-without-any-blank-in-it-that-no-page-may-be-wider-than-just-for-its-sake"
)

// apply stores a task and waits until the service knows it; extra are further lines of its file.
func (s *site) apply(name string, extra ...string) *task.Definition {
	s.t.Helper()
	def, err := taskfile.Parse(fmt.Appendf(nil, "id: %s\nname: %q\nsource: {csv: {connection: drop, path: in.csv}}\nmapping: {id: id}\n"+
		"destination: {csv: {connection: drop, path: out.csv, action: replace}}\n%s\n", task.NewID(), name, strings.Join(extra, "\n")), "test.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.Tasks.Apply(s.t.Context(), def, false); err != nil {
		s.t.Fatal(err)
	}
	proctest.Eventually(s.t, "the service knows the task", func() bool {
		response, _ := s.send(http.DefaultClient, "GET", "/api/tasks/"+string(def.ID), "", "Authorization: Bearer "+annToken)
		return response.StatusCode == 200
	})
	return def
}

// starts starts runs in the place of the ingress, which is tested elsewhere.
func starts(store *bus.Bus, tasks *bus.TaskView) func(context.Context, run.Wanted) (run.Number, error) {
	return func(ctx context.Context, w run.Wanted) (run.Number, error) {
		of, _ := tasks.Get(w.Task)
		values, err := of.Resolve(w.Given)
		if wrong, ok := errors.AsType[*task.ParameterError](err); ok {
			problem := &web.Problem{Kind: "wrong-parameters", Status: 400, Detail: wrong.Error() + "."}
			for _, each := range wrong.Problems {
				problem.Errors = append(problem.Errors, web.Fault{Name: each.Parameter, Detail: each.Message})
			}
			return 0, problem
		}
		trigger := run.Page
		if w.RepeatOf > 0 {
			trigger = run.Again
		}
		if w.Correction != nil {
			trigger = run.Corrections
		}
		accepted, err := store.Runs.Submit(ctx, run.Request{
			Task: of.ID, TaskName: of.Name, Definition: of.Hash, Trigger: trigger, Operator: w.Operator, RepeatOf: w.RepeatOf, Correction: w.Correction, DryRun: w.DryRun,
			Parameters: values, ParameterHash: values.Hash(), RetryAfter: 30, CreatedOn: time.Now().UTC(), Base: w.Base, RunAt: w.RunAt,
		}, w.Once)
		return accepted.Number, err
	}
}

// driven is a run that a test drives.
type driven struct {
	t        testing.TB
	store    *bustest.Store
	doc      run.Document
	claim    *bus.Claim
	progress *bus.Progress
}

// submit makes a run durable.
func (s *site) submit(def *task.Definition, change func(*run.Request)) *driven {
	s.t.Helper()
	request := run.Request{Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook, RetryAfter: 30, CreatedOn: time.Now().UTC(), Base: "https://hooks.example.org"}
	if change != nil {
		change(&request)
	}
	accepted, err := s.Runs.Submit(s.t.Context(), request, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return &driven{s.t, s.Store, run.QueuedDocument(request, accepted.Number), nil, nil}
}

func (r *driven) begin() *driven {
	r.t.Helper()
	now := time.Now().UTC()
	claim, err := r.store.Work.Claim(r.t.Context(), r.doc.ExecuteID, r.doc.ImportID, run.Claim{Owner: "test", Executions: 1, StartedOn: now})
	if err != nil {
		r.t.Fatal(err)
	}
	r.doc.Begin(now, now, 1)
	r.claim, r.progress = claim, r.store.Work.Progress(r.doc.ExecuteID, r.doc.ImportID)
	return r
}

// reach writes live progress: so many of 1,000 rows.
func (r *driven) reach(rows int64) *driven {
	r.t.Helper()
	r.doc.PercentComplete, r.doc.UpdatedOn = float64(rows)/10, run.Time(time.Now())
	r.doc.SetCounts(run.Counts{Total: 1000, Retrieved: rows, Inserted: rows - r.doc.RowsFailed, Failed: r.doc.RowsFailed})
	r.doc.Message = "Writing to the file out.csv"
	if err := r.progress.Write(r.t.Context(), r.doc); err != nil {
		r.t.Fatal(err)
	}
	return r
}

func (r *driven) end(outcome run.Outcome, message string, chunks ...run.RejectedChunk) *driven {
	r.t.Helper()
	var set run.RejectedSet
	for i, chunk := range chunks {
		data, err := chunk.Encode()
		if err == nil {
			err = r.claim.StoreRejected(r.t.Context(), i+1, data, time.Now().Add(time.Hour))
		}
		if err != nil {
			r.t.Fatal(err)
		}
		set = set.With(r.claim.Token, i+1, int64(len(chunk.Rows)), 1)
		r.doc.RowsFailed += int64(len(chunk.Rows))
	}
	r.doc.End(outcome, message, time.Now())
	r.doc.NameRejected(set)
	if err := r.claim.Finish(r.t.Context(), r.doc, set); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// failed are chunks of failed rows.
func failed(chunks, rows int) (all []run.RejectedChunk) {
	n := 0
	for range chunks {
		chunk := run.RejectedChunk{Columns: []string{"id", "<email>"}, Delimiter: ","}
		for range rows {
			n++
			column, reason := "Email", "is not a valid address"
			if n%10 == 0 {
				column, reason = "", "<i>is too long</i>"
			}
			chunk.Rows = append(chunk.Rows, run.RejectedRow{Row: int64(n), Column: column, Reason: reason, Cells: []string{fmt.Sprint("cell ", n), "a<b>@example"}})
		}
		all = append(all, chunk)
	}
	return all
}

// signedIn is a page of somebody who is signed in.
func (s *site) signedIn(b *browser, token string) *page {
	p := b.profile()
	p.visit(s.url + s.link(token))
	p.shows("Tasks")
	return p
}

// press presses a key.
func (p *page) press(key string) {
	p.t.Helper()
	codes := map[string]int{"Enter": 13, "Tab": 9, "Escape": 27, "ArrowRight": 39, "ArrowDown": 40, " ": 32}
	text := map[string]string{"Enter": "\r", " ": " "}[key]
	for _, kind := range []string{"keyDown", "keyUp"} {
		event := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
		if kind == "keyDown" && text != "" {
			event["text"] = text
		}
		p.must(p.session, "Input.dispatchKeyEvent", event)
	}
}

// write writes into what has the focus.
func (p *page) write(text string) {
	p.t.Helper()
	p.must(p.session, "Input.insertText", map[string]any{"text": text})
}

// click clicks with the mouse what an expression finds, once it stands still.
func (p *page) click(find string) {
	p.t.Helper()
	p.must(p.session, "Page.bringToFront", nil)
	var at, before []any
	proctest.Until(p.t, func() error { // the page may still come, or move
		where, err := p.try(fmt.Sprintf(`(e => {
			e.scrollIntoView({block: 'center', behavior: 'instant'});
			const r = e.getClientRects()[0], x = r.x + r.width / 2, y = r.y + r.height / 2;
			return e.contains(document.elementFromPoint(x, y)) ? [x, y] : 'something else is there';
		})(%s)`, find))
		at, _ = where.([]any)
		moved := !slices.Equal(at, before)
		before = at
		if len(at) != 2 || moved {
			return fmt.Errorf("%s: %v %w", find, where, err)
		}
		return nil
	})
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.must(p.session, "Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1})
	}
}

// named finds a link or button by its words.
func named(words string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('a, button, summary, label')].find(e => (e.ariaLabel ?? e.innerText).trim().replace(/\s+/g, ' ') === %q && e.checkVisibility())`, words)
}

// accessible has axe-core look at the page, in each of its looks.
func (p *page) accessible(what string) {
	p.t.Helper()
	axe, err := os.ReadFile("../../../deploy/examples/node_modules/axe-core/axe.min.js")
	if err != nil {
		p.t.Fatalf("%v: run `make needs`", err)
	}
	size := p.eval(`innerWidth + 'x' + innerHeight`)
	p.eval(string(axe) + "; 0")
	// What is not about colors is the same in both.
	for _, look := range [][2]string{{"light", "{resultTypes: ['violations']}"}, {"dark", "{resultTypes: ['violations'], runOnly: ['color-contrast', 'link-in-text-block']}"}} {
		scheme, rules := look[0], look[1]
		p.must(p.session, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
		if found := p.eval(`axe.run(` + rules + `).then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' | ')).join('\n'))`); found != "" {
			p.t.Errorf("%s, %s: %v", what, scheme, found)
		}
	}
	p.must(p.session, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{}})
	for _, width := range []int{360, 640} { // 640 is 1280 at 200 %
		p.must(p.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width == 360})
		if wide, _ := p.eval(`document.documentElement.scrollWidth`).(float64); int(wide) > width {
			p.t.Errorf("%s is %v wide on %d", what, wide, width)
		}
	}
	p.must(p.session, "Emulation.clearDeviceMetricsOverride", nil)
	p.until(fmt.Sprintf(`innerWidth + 'x' + innerHeight === %q`, size)) // what is clicked on before that is somewhere else then
	p.keep(what)
}

// testPages holds what there is to read, with a mouse and with a keyboard, as it changes.
func testPages(t *testing.T, b *browser) {
	store := bustest.New(t, bus.Topology{})
	s := open(t, store)
	p := s.signedIn(b, annToken)
	p.until(`document.body.innerText.includes('No task yet')`)
	p.accessible("no task")

	members := s.apply(markup, "description: <script>alert(1)</script>", "parameters: [{name: State, prompt: required, description: Two letters.}, {name: City, default: Rome}, {name: Tags, multiple: true}]")
	others := s.apply(hebrew, "enabled: false")
	s.apply(oneLine)
	with := func(r *run.Request) {
		r.Parameters, r.CorrelationID = task.Values{"State": {Values: []string{"<CA>"}, From: task.FromRequest}}, "flow-8811"
	}
	s.submit(members, with).begin().reach(600).end(run.Success, "600 rows processed, 40 failed", failed(2, 20)...)
	s.submit(others, nil).begin().end(run.Failed, "There is no file <in.csv>")
	s.submit(others, func(r *run.Request) { r.Trigger, r.DryRun, r.Operator = run.CLI, true, "ann" }).begin().reach(100).end(run.Canceled, "Canceled by ann: wrong file")
	live := s.submit(members, with).begin().reach(100)

	// The tasks.
	p.visit(s.url + "/console/")
	p.shows("Tasks")
	p.until(fmt.Sprintf(`document.querySelector('tbody a').textContent === %q`, markup))
	p.until(`document.body.innerText.includes('In progress, 10 %')`)
	p.accessible("tasks")
	p.click(named("Disabled 1"))
	p.until(fmt.Sprintf(`location.search === '?state=disabled' && document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody a').textContent === %q`, hebrew))
	p.visit(s.url + "/console/")
	p.eval(`document.querySelector('#q').focus()`)
	p.write("members")
	p.until(`location.search === '?q=members' && document.querySelectorAll('tbody tr').length === 1 && document.querySelector('#say').textContent === '1 task'`)
	p.eval(`history.back()`)
	p.until(`location.search === '' && document.querySelectorAll('tbody tr').length === 3`)
	p.click(named("Task"))
	p.until(`location.search === '?sort=-name' && document.querySelector('th[aria-sort]').ariaSort === 'descending'`)

	// A task.
	p.click(named(markup))
	p.shows(markup)
	p.accessible("task")
	for _, want := range []string{"POST Webhook URLs", "Query Parameters Overload on POST Request", "Standard (Fire-and-Forget) URL", "Asynchronous Polling URL", "<script>alert(1)</script>", "this task: Rome", "optional, several values"} {
		if text := p.text(); !strings.Contains(text, want) {
			t.Errorf("there is no %s: %s", want, text)
		}
	}
	// What the button shows is over after two seconds.
	p.eval(`{ const button = document.querySelector('[data-copy=url-polling]'); new MutationObserver(() => { window.copied ||= button.classList.contains('done') }).observe(button, { attributes: true }) }`)
	p.click(named("Copy the Asynchronous Polling URL"))
	p.until(`window.copied && document.querySelector('#say').textContent === 'Copied'`)
	p.eval(`document.querySelector('#l-pa').focus()`)
	p.press("ArrowRight")
	p.until(`document.querySelector('#s-curl').checkVisibility() && !document.querySelector('#s-pa').checkVisibility()`)
	p.click(named("Definition"))
	p.until(`document.querySelector('#yaml').checkVisibility()`)
	if text := p.text(); !strings.Contains(text, `-d '{"QueryParameters": {"State": "VALUE"}}'`) {
		t.Errorf("%s", text)
	}

	// The runs.
	p.click(named("Runs"))
	p.shows("Runs")
	p.until(`document.querySelectorAll('tbody tr').length === 4`)
	p.accessible("runs")
	p.eval(`document.querySelector('#status').focus()`)
	p.eval(`(e => { e.value = 'failed'; e.dispatchEvent(new Event('input', {bubbles: true})); })(document.querySelector('#status'))`)
	p.until(`location.search === '?status=failed' && document.querySelectorAll('tbody tr').length === 1 && document.querySelector('.tallies [aria-current]').innerText.trim() === 'Failed'`)
	for _, each := range []struct {
		query string
		runs  int
	}{{"q=State%3D%3CCA%3E", 2}, {"q=flow-8811", 2}, {"q=no+file", 1}, {"status=rows", 1}, {"status=open", 1}, {"by=dry+run", 1}, {"status=canceled&task=" + string(others.ID), 1}, {"from=2001-01-01&to=2001-01-02", 0}, {"before=3", 2}} {
		p.visit(s.url + "/console/runs?" + each.query)
		p.until(fmt.Sprintf(`document.querySelectorAll('tbody tr').length === %d`, each.runs))
	}
	p.visit(s.url + "/console/runs?from=soon")
	p.until(`document.querySelector('[role=alert]').innerText.includes('2026-01-31')`)

	// A run whose rows failed, by pages.
	p.visit(s.url + "/console/runs?go=1")
	p.shows("Run 1 of " + markup)
	p.accessible("run with failed rows")
	for _, want := range []string{"Success, 40 failed", "36", "<i>is too long</i>", "the row", "cell 25", "flow-8811", "<CA>", "from the request", "a<b>@example"} {
		if text := p.text(); !strings.Contains(text, want) {
			t.Errorf("there is no %s: %s", want, text)
		}
	}
	if text := p.text(); strings.Contains(text, "cell 26") {
		t.Errorf("%s", text)
	}
	p.click(`document.querySelector('#rejected [rel=next]')`)
	p.until(`location.search === '?rows=2.5' && document.body.innerText.includes('cell 26') && document.body.innerText.includes('cell 40') && !document.querySelector('#rejected [rel=next]')`)
	for _, kind := range []string{"csv", "xlsx"} {
		if got := p.eval(fmt.Sprintf(`fetch('1/rejected.%s').then(a => a.headers.get('content-disposition'))`, kind)); got != `attachment; filename="rejected-1.`+kind+`"` {
			t.Errorf("%v", got)
		}
	}

	// A run that ends while it is looked at, in two pages.
	both := []*page{p, b.open(map[string]any{"url": "about:blank", "browserContextId": contextOf(p)})}
	for _, each := range both {
		each.visit(s.url + "/console/runs/" + live.doc.ImportID.String())
		each.until(`document.querySelector('.live').textContent === 'Live' && document.querySelector('[data-f=RowsRetrieved]').textContent === '100'`)
		each.eval(`new PerformanceObserver(l => { for (const e of l.getEntries()) window.shifted = (window.shifted ?? 0) + e.value; }).observe({type: 'layout-shift', buffered: false}); 0`)
	}
	p.accessible("run in progress")
	for rows := int64(200); rows <= 800; rows += 200 {
		live.reach(rows)
		for _, each := range both {
			each.until(fmt.Sprintf(`document.querySelector('[data-f=RowsRetrieved]').textContent === '%d' && document.querySelector('progress').value === %d`, rows, rows/10))
		}
	}
	if shifted, _ := both[1].eval(`window.shifted ?? 0`).(float64); shifted > 0.001 {
		t.Errorf("the page moved by %v while it was live", shifted)
	}
	// The server is started again meanwhile.
	address := strings.TrimPrefix(s.url, "http://")
	s.stop()
	for _, each := range both {
		each.until(`document.querySelector('.live').textContent === 'No connection, trying again'`)
	}
	s = openAs(t, store, web.Options{Listen: address})
	for _, each := range both {
		each.until(`document.querySelector('.live').textContent.startsWith('Live')`)
	}
	live.reach(1000).end(run.Success, "1000 rows processed")
	for _, each := range both {
		each.until(`!document.querySelector('[data-live]') && document.querySelector('.state-1').innerText.includes('Success') && document.title.startsWith('Success')`)
		each.until(`document.querySelector('#say').textContent.includes('1000 rows processed')`)
	}
	p.accessible("run that ended")

	// Who only reads sees the same; whoever is signed out sees none of it, and a live page says so.
	reader := s.signedIn(b, viewToken)
	reader.visit(s.url + "/console/runs/1")
	reader.shows("Run 1 of " + markup)
	waiting := s.submit(members, nil)
	reader.visit(s.url + "/console/runs/" + waiting.doc.ImportID.String())
	reader.until(`document.querySelector('.live').textContent === 'Live' && document.querySelector('.state-1 b').textContent === 'Queued'`)
	reader.accessible("run that is queued")
	waiting.begin().reach(10)
	reader.until(`document.querySelector('.state-1 b').textContent === 'In progress'`)

	// Without a script.
	quiet := b.open(map[string]any{"url": "about:blank", "browserContextId": contextOf(p)})
	quiet.must(quiet.session, "Emulation.setScriptExecutionDisabled", map[string]any{"value": true})
	quiet.visit(s.url + "/console/runs/" + waiting.doc.ImportID.String())
	quiet.shows("Run " + waiting.doc.ImportID.String() + " of " + markup)
	quiet.keep("without a script run")
	if text := quiet.text(); !strings.Contains(text, "As of the time you opened it") || strings.Contains(text, "rows/s") {
		t.Errorf("%s", text)
	}
	quiet.visit(s.url + "/console/tasks/" + string(members.ID))
	quiet.shows(markup)
	if copies := quiet.eval(`[...document.querySelectorAll('.cp')].filter(e => e.checkVisibility()).length`); copies != float64(0) {
		t.Errorf("%v copy buttons do nothing", copies)
	}
	quiet.click(`document.querySelector('#definition summary')`)
	quiet.until(`document.querySelector('#yaml').checkVisibility()`)
	quiet.visit(s.url + "/console/runs?status=failed")
	quiet.until(`document.querySelectorAll('tbody tr').length === 1`)
	quiet.visit(s.url + "/console/")
	quiet.keep("without a script tasks")
	if text := quiet.text(); !strings.Contains(text, " UTC") {
		t.Errorf("%s", text)
	}
	for path, want := range map[string]string{"runs/999": "There is no run 999", "runs/x": "There is no run x", "tasks/" + string(task.NewID()): "There is no such task", "runs?go=x": "Not Found"} {
		quiet.visit(s.url + "/console/" + path)
		quiet.shows(want)
	}
	quiet.keep("no such run")
}

// testChanges holds what changes something, by mouse and by keyboard, with a script and without.
func testChanges(t *testing.T, b *browser) {
	s := open(t, bustest.New(t, bus.Topology{}))
	def := s.apply(markup, "parameters: [{name: It's <State>, prompt: required, description: Two letters.}, {name: City, default: Rome}, {name: Tags, multiple: true}]")
	path := "/console/tasks/" + string(def.ID)
	p := s.signedIn(b, annToken)

	// A form that does not fit says so at its field, and starts nothing.
	p.click(named("Run " + markup))
	p.shows(markup)
	p.until(`location.hash === '#run-now'`)
	p.accessible("run now")
	p.click(`document.querySelector('#p1')`)
	p.write("Paris <b>")
	p.press("Enter")
	p.until(`location.pathname.endsWith('/run') && document.readyState === 'complete' && document.querySelector('#e0').textContent.includes('is required')`)
	if focus := p.eval(`document.activeElement.id + ' ' + document.querySelector('#p1').value + ' ' + document.querySelector('[role=alert]').innerText`); focus != "p0 Paris <b> It's <State> is required and has no value. Nothing was started." {
		t.Errorf("the form says %v", focus)
	}
	p.accessible("run now refused")
	p.write("CA")
	p.eval(`document.querySelector('#p2').value = 'a\nb\n'`)
	p.press("Enter")
	p.shows("Run 1 of " + markup)
	first, err := s.Runs.Request(t.Context(), def.ID, 1)
	if values := first.Parameters; err != nil || first.Trigger != run.Page || first.Operator != "ann" || first.DryRun ||
		fmt.Sprint(values["It's <State>"].Values, values["City"].Values, values["Tags"].Values) != "[CA] [Paris <b>] [a b]" {
		t.Errorf("%+v, %v", first, err)
	}

	// Cancel asks first; Escape is no.
	p.until(`document.querySelector('.live').textContent === 'Live'`)
	p.click(named("Cancel run"))
	p.until(`document.querySelector('details.ask').open`)
	p.accessible("cancel")
	p.press("Escape")
	p.until(`!document.querySelector('details.ask').open && document.activeElement.matches('summary')`)
	p.press("Enter")
	p.until(`document.querySelector('details.ask').open`)
	p.eval(`document.querySelector('#why').focus()`)
	p.write("wrong <file>")
	p.press("Tab")
	p.press("Enter")
	p.until(`document.querySelector('.state-1 b')?.textContent === 'Canceled' && document.body.innerText.includes('wrong <file>')`)
	p.click(named("Run again"))
	p.shows("Run 2 of " + markup)
	p.until(`document.body.innerText.includes('Repeat of') && document.querySelector('aside a').textContent === 'run 1'`)

	// Disable, and enable again; without a script too.
	quiet := b.open(map[string]any{"url": "about:blank", "browserContextId": contextOf(p)})
	quiet.must(quiet.session, "Emulation.setScriptExecutionDisabled", map[string]any{"value": true})
	for _, each := range []*page{p, quiet} {
		each.visit(s.url + path)
		each.click(named("Disable"))
		each.until(`document.body.innerText.includes('Its webhook answers 409')`)
		each.click(named("Enable"))
		each.until(`document.readyState === 'complete' && !document.body.innerText.includes('Its webhook answers 409') && document.querySelector('#run-now') !== null`)
	}
	quiet.click(`document.querySelector('#p0')`)
	quiet.write("TX")
	quiet.click(named("Dry run"))
	quiet.shows("Run 3 of " + markup)
	if text := quiet.text(); !strings.Contains(text, "ann, dry run") {
		t.Errorf("%s", text)
	}
	quiet.click(named("Cancel run"))
	quiet.click(named("Cancel run 3"))
	quiet.until(`document.querySelector('.state-1 b')?.textContent === 'Canceled'`)

	// Whoever only reads has no button, and no form of theirs, nor one without its token, does anything.
	reader := s.signedIn(b, viewToken)
	for _, at := range []string{path, "/console/runs/2", "/console/"} {
		reader.visit(s.url + at)
		if forms := reader.eval(`[...document.querySelectorAll('form[method=post]')].map(f => f.getAttribute('action')).join()`); !strings.HasSuffix(forms.(string), "signout") || strings.Contains(forms.(string), ",") {
			t.Errorf("%s has the forms %v for who only reads", at, forms)
		}
	}
	ann, viewer := visitor(t), visitor(t)
	form, viewerForm := s.signIn(ann, annToken), s.signIn(viewer, viewToken)
	for _, change := range []string{path + "/run", path + "/disable", path + "/enable", "/console/runs/2/cancel", "/console/runs/1/again"} {
		for who, try := range map[string]func() (*http.Response, string){
			"who only reads":    func() (*http.Response, string) { return s.send(viewer, "POST", change, "form_token="+viewerForm) },
			"without its token": func() (*http.Response, string) { return s.send(ann, "POST", change, "x=1") },
			"of another page": func() (*http.Response, string) {
				return s.send(ann, "POST", change, "form_token="+form, "Origin: https://evil.example")
			},
			"nobody": func() (*http.Response, string) { return s.send(visitor(t), "POST", change, "form_token="+form) },
			"one too large": func() (*http.Response, string) {
				return s.send(ann, "POST", change, "form_token="+form+strings.Repeat("x", 65<<10))
			},
		} {
			want := map[string]int{"nobody": 401, "one too large": 400}[who]
			if want == 0 {
				want = 403
			}
			if response, body := try(); response.StatusCode != want || !strings.Contains(body, "<h1>") {
				t.Errorf("%s, %s: %s %s", change, who, response.Status, body)
			}
		}
	}
	if response, _ := s.send(ann, "GET", "/console/runs/4", ""); response.StatusCode != 404 {
		t.Errorf("a run was started: %s", response.Status)
	}
	if response, body := s.send(ann, "POST", "/console/runs/1/cancel", "form_token="+form); response.StatusCode != 409 {
		t.Errorf("a run that has ended: %s %s", response.Status, body)
	}
}

// No page has more than 60 KB, however much there is to show.
func TestPagesAreSmall(t *testing.T) {
	t.Parallel()
	s := open(t, bustest.New(t, bus.Topology{}))
	var parameters []string
	for i := range 60 {
		prompt := "optional"
		if i == 30 {
			prompt = "required"
		}
		parameters = append(parameters, fmt.Sprintf("{name: Parameter%d, prompt: %s, description: What it is for}", i, prompt))
	}
	many := s.apply("Many", "parameters: ["+strings.Join(parameters, ", ")+"]")
	for i := range 30 {
		s.apply(fmt.Sprint("Task ", i))
	}
	chunks := failed(4, 250)
	for _, chunk := range chunks {
		for i := range chunk.Rows {
			chunk.Rows[i].Cells[1] = strings.Repeat("é", 500)
		}
	}
	for _, row := range slices.Concat(chunks[0].Rows[:25], chunks[3].Rows[229:]) { // those that are looked at below
		row.Cells[1] = strings.Repeat("é", 100_000)
	}
	s.submit(many, nil).begin().end(run.Success, "many failed", chunks...)
	for range 60 {
		s.submit(many, nil)
	}
	ann := visitor(t)
	s.signIn(ann, annToken)
	pages := map[string]string{}
	for path, want := range map[string]string{
		"/console/": "Page 1 of 2", "/console/?page=2": "Page 2 of 2", "/console/tasks/" + string(many.ID): "59 optional parameters",
		"/console/runs": `rel="next">Older`, "/console/runs?before=30": `>Newest</a>`, "/console/runs/1": ">900<", "/console/runs/1?rows=4.230": "cell 1000",
	} {
		response, page := s.send(ann, "GET", path, "")
		if pages[path] = page; response.StatusCode != 200 || !strings.Contains(page, want) || len(page) > 60<<10 {
			t.Errorf("%s: %s, %d bytes, without %s", path, response.Status, len(page), want)
		}
	}
	if page := pages["/console/runs/1"]; strings.Count(page, strings.Repeat("é", 200)+"…") != 25 || !strings.Contains(page, `href="?rows=1.25#rejected"`) {
		t.Errorf("%s", page)
	}
	if page := pages["/console/tasks/"+string(many.ID)]; strings.Index(page, `id="p30"`) > strings.Index(page, "59 optional parameters") {
		t.Error("the parameter that is required is folded away")
	}
}

// Whoever only reads sees the parameters of a run without their values, and cannot look for one.
func TestWhoOnlyReadsSeesNoValues(t *testing.T) {
	t.Parallel()
	s := open(t, bustest.New(t, bus.Topology{}))
	def := s.apply("Members", "parameters: [{name: State}]\n")
	driven := s.submit(def, func(r *run.Request) {
		r.Parameters = task.Values{"State": {Values: []string{"Kansas"}, From: task.FromRequest}}
	})
	at := "/console/runs/" + driven.doc.ImportID.String()
	ann, viewer := visitor(t), visitor(t)
	s.signIn(ann, annToken)
	s.signIn(viewer, viewToken)
	if response, page := s.send(ann, "GET", at, ""); response.StatusCode != 200 || !strings.Contains(page, "<bdi>State</bdi></code> <bdi>Kansas</bdi>") {
		t.Errorf("an administrator: %s %s", response.Status, page)
	}
	if response, page := s.send(viewer, "GET", at, ""); response.StatusCode != 200 || strings.Contains(page, "Kansas") || !strings.Contains(page, "<bdi>State</bdi></code> <span") {
		t.Errorf("who only reads: %s %s", response.Status, page)
	}
	if response, page := s.send(viewer, "GET", "/console/runs?q=State%3DKansas", ""); response.StatusCode != 400 || !strings.Contains(page, "You only read, so you do not see the values of parameters") || strings.Contains(page, `href="../runs/`+driven.doc.ImportID.String()) {
		t.Errorf("who only reads looks for a value: %s %s", response.Status, page)
	}
}
