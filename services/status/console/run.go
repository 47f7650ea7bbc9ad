package console

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/services/status"
	"runhook/shared/bus"
	"runhook/shared/making"
	"runhook/shared/run"
	"runhook/shared/session"
	"runhook/shared/task"
	"runhook/shared/web"
)

// runData is what the page of a run shows.
type runData struct {
	Doc run.Document
	// TaskID leads to its task; empty if there is no such task any more.
	TaskID string
	// Current: the task's definition is the one that was accepted with the run.
	Current  bool
	Operator string
	// Parameters are the values that it was started with.
	Parameters []givenRow
	// Shares are those of the rows in the bar of a run that has ended.
	Shares  []share
	Reasons []reason
	// Counted is how many failed rows the reasons are of.
	Counted int64
	// Rejected are the failed rows of one page; nil if none are kept, or the run has not ended. RejectedFault is why they
	// cannot be shown.
	Rejected      *rejectedPage
	RejectedFault string
	// Corrects: the page can start a run of just these rows, corrected. Refused is why it did not, empty for nothing.
	Corrects bool
	Refused  string
	MiB      int
	Events   []happened
	// Chain is the first run of the chain that it is part of; nil if it is part of none.
	Chain *chainNode
	// Starts: the page can start runs of its task.
	Starts bool
}

// chainNode is a run of a chain, with those that its end has started.
type chainNode struct {
	*status.ChainedRun
	Up    string
	Shown bool
	Next  []*chainNode
}

// nodeOf is a run of the chain of the one that is shown.
func nodeOf(of *status.ChainedRun, shown run.Number, up string) *chainNode {
	node := &chainNode{ChainedRun: of, Up: up, Shown: of.ImportID == shown}
	for _, next := range of.Next {
		node.Next = append(node.Next, nodeOf(next, shown, up))
	}
	return node
}

// givenRow is a parameter of a run.
type givenRow struct {
	Name, Values, From string
}

// share is a part of the bar, in thousandths.
type share struct {
	Class    string
	At, Wide string
}

// reason is why rows failed, all those of a column and a reason together.
type reason struct {
	Column, Words string
	Rows          int64
	// Which are the first rows.
	Which string
}

// happened is a line of what happened.
type happened struct {
	What string
	// On is when; After how long after the line before, empty for the first.
	On    time.Time
	After string
	// Later: it is more than half a day after the first line, and so perhaps on another day.
	Later bool
}

// runPage answers GET /console/runs/{run}?rows= with a run.
func (p *Page) runPage(ctx context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view) error {
	shown.Section = "runs"
	if err := p.service.Loaded(); err != nil {
		return err
	}
	doc, err := p.service.RunDocument(ctx, rc)
	if err != nil {
		return explainRun(rc, err)
	}
	return p.showRun(ctx, rc, visit, shown, doc, fasthttp.StatusOK, "")
}

// showRun shows a run, and why its failed rows are not corrected.
func (p *Page) showRun(ctx context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view, doc run.Document, code int, refused string) error {
	data := runData{Doc: doc, Shares: shares(doc), Events: events(doc), Refused: refused, MiB: making.MaxUpload >> 20}
	if of, known := p.tasks.Of(doc.ExecuteID); known && !of.Deleted {
		data.TaskID, data.Starts = string(of.ID), p.startRun != nil
	}
	p.addRequest(ctx, &data, visit.ReadOnly)
	if doc.RowsFailed > 0 {
		p.addRejected(ctx, rc, &data, visit.ReadOnly)
	}
	if chain, err := p.service.RunChain(ctx, doc.ExecuteID, doc.ImportID); err == nil && chain != nil { // the page says the rest
		data.Chain = nodeOf(chain, doc.ImportID, shown.Up)
	}
	number := doc.ImportID.String()
	shown.Title, shown.Data = signOf(doc).Words+": run "+number+", "+doc.TaskName, data
	return show(rc, code, "run.html", *shown)
}

// explainRun says what there is instead of a run.
func explainRun(rc *fasthttp.RequestCtx, err error) error {
	problem := *web.ProblemOf(err)
	if problem.Status == fasthttp.StatusNotFound {
		problem.Title = "There is no run " + web.PathValue(rc, "run")
		problem.Detail = "No run has this number, or its record has expired. The list of runs has the newest ones."
	}
	return &problem
}

// addRequest adds what the request tells, without the values for whoever only reads. A page without it says the rest.
func (p *Page) addRequest(ctx context.Context, data *runData, readsOnly bool) {
	request, err := p.service.RunRequest(ctx, data.Doc.ExecuteID, data.Doc.ImportID)
	if err != nil {
		return
	}
	data.Operator = request.Operator
	if of, known := p.tasks.Of(data.Doc.ExecuteID); known {
		data.Current = of.Hash == request.Definition
	}
	for name, value := range request.Parameters {
		given := givenRow{Name: name, From: origins[value.From]}
		if !readsOnly {
			given.Values = strings.Join(value.Values, ", ")
		}
		data.Parameters = append(data.Parameters, given)
	}
	slices.SortFunc(data.Parameters, func(a, b givenRow) int { return strings.Compare(a.Name, b.Name) })
}

// origins are where a parameter's value came from, in words.
var origins = map[task.Origin]string{
	task.FromRequest: "from the request", task.FromTask: "the task’s default", task.FromSource: "the source’s default",
}

// shares are those of inserted, updated, unchanged, deleted, skipped and failed rows, with a gap between.
func shares(doc run.Document) (all []share) {
	if doc.Status != run.Done {
		return nil
	}
	parts := []struct {
		class string
		rows  int64
	}{
		{"c-ins", doc.RowsInserted}, {"c-upd", doc.RowsUpdated}, {"c-unc", doc.RowsUnchanged}, {"c-del", doc.RowsDeleted}, {"c-skp", doc.RowsSkipped}, {"c-bad", doc.RowsFailed},
	}
	whole := max(doc.RowCount, doc.RowsProcessed+doc.RowsSkipped+doc.RowsFailed)
	at := 0.0
	for _, part := range parts {
		if part.rows == 0 || whole == 0 {
			continue
		}
		wide := 1000 * float64(part.rows) / float64(whole)
		all = append(all, share{part.class, strconv.FormatFloat(at, 'f', 1, 64), strconv.FormatFloat(max(wide-2, 2), 'f', 1, 64)})
		at += wide
	}
	return all
}

// events are what happened to a run, in order.
func events(doc run.Document) (all []happened) {
	add := func(what string, on time.Time) {
		one := happened{What: what, On: on}
		if len(all) > 0 {
			one.After = took(max(0, on.Sub(all[len(all)-1].On).Milliseconds()))
			one.Later = on.Sub(all[0].On) > 12*time.Hour
		}
		all = append(all, one)
	}
	add("Accepted", time.Time(doc.CreatedOn))
	if doc.StartedOn != nil {
		add("Started", time.Time(*doc.StartedOn))
	}
	if doc.CancelRequestedOn != nil {
		add("Cancel asked for", time.Time(*doc.CancelRequestedOn))
	}
	if doc.CompletedOn != nil {
		what := signOf(doc).Words
		if doc.ExecutionCount > 1 {
			what += ", in attempt " + strconv.Itoa(doc.ExecutionCount)
		}
		add(what, time.Time(*doc.CompletedOn))
	}
	return all
}

// Rejected rows of one page, and how many of them their reasons are counted of.
const (
	rejectedPageSize = 25
	reasonsOfRows    = 10_000
	mostReasons      = 20
	mostPlaces       = 5
)

// rejectedPage is a page of the rows that failed.
type rejectedPage struct {
	Columns []string
	Rows    []run.RejectedRow
	// Fixes are the rows as they can be corrected; none where they cannot.
	Fixes []fix
	// At is the address of the page.
	At string
	// First and Next are the addresses of other pages; empty for none.
	First, Next string
}

// addRejected adds why rows failed, and a page of those that were kept.
func (p *Page) addRejected(ctx context.Context, rc *fasthttp.RequestCtx, data *runData, readsOnly bool) {
	kept, err := p.service.RejectedRows(ctx, data.Doc.ExecuteID, data.Doc.ImportID)
	if err == nil && kept != nil {
		address := string(rc.QueryArgs().Peek("rows"))
		if sent := rc.PostArgs().Peek("rows"); sent != nil {
			address = string(sent)
		}
		if err = data.readRejected(ctx, kept, address); err == nil && !readsOnly {
			p.addFixes(data, address)
		}
	}
	if data.Rejected != nil {
		data.Rejected.Rows = shortened(data.Rejected.Rows)
	}
	if err != nil {
		data.RejectedFault = web.ProblemOf(err).Detail
	}
	if len(data.Reasons) > 0 {
		return
	}
	groups := newReasons()
	for _, fault := range data.Doc.Errors {
		groups.add(fault.Column, fault.Message, fault.Row)
	}
	data.Reasons, data.Counted = groups.sorted(), groups.rows
}

var errNoPage = web.Refuse(fasthttp.StatusNotFound, "The address of the page of failed rows is not complete.")

// readRejected reads the page of failed rows that an address names by a chunk, and a row in that.
func (d *runData) readRejected(ctx context.Context, kept *bus.RejectedRows, address string) error {
	chunk, at := 1, 0
	if before, after, ok := strings.Cut(address, "."); address != "" {
		var wrong, wrongToo error
		chunk, wrong = strconv.Atoi(before)
		at, wrongToo = strconv.Atoi(after)
		if !ok || errors.Join(wrong, wrongToo) != nil || chunk < 1 || chunk > kept.Chunks() || at < 0 {
			return errNoPage
		}
	}
	page, groups := &rejectedPage{}, newReasons()
	for n := 1; n <= kept.Chunks() && (groups.rows < reasonsOfRows || n <= chunk+1); n++ {
		if groups.rows >= reasonsOfRows && n < chunk {
			continue
		}
		read, err := kept.Chunk(ctx, n)
		if err != nil {
			return err
		}
		for _, row := range read.Rows {
			if groups.rows < reasonsOfRows {
				groups.add(row.Column, row.Reason, row.Row)
			}
		}
		if n < chunk || page.Next != "" {
			continue
		}
		page.Columns = read.Columns
		from := 0
		if n == chunk {
			from = min(at, len(read.Rows))
		}
		some := read.Rows[from:min(len(read.Rows), from+rejectedPageSize-len(page.Rows))]
		page.Rows = append(page.Rows, some...)
		if len(page.Rows) == rejectedPageSize && (from+len(some) < len(read.Rows) || n < kept.Chunks()) {
			page.Next = "?rows=" + strconv.Itoa(n) + "." + strconv.Itoa(from+len(some)) + "#rejected"
		}
	}
	if address != "" {
		page.First = "?#rejected"
	}
	d.Rejected, d.Reasons, d.Counted = page, groups.sorted(), groups.rows
	return nil
}

// mostLetters is how many letters of a cell or a reason the page shows: the download has all.
const mostLetters = 200

// shortened are rows with what the page shows of them.
func shortened(rows []run.RejectedRow) []run.RejectedRow {
	short := slices.Clone(rows)
	for i, row := range short {
		short[i].Reason = firstLetters(row.Reason)
		short[i].Cells = make([]string, len(row.Cells))
		for j, cell := range row.Cells {
			short[i].Cells[j] = firstLetters(cell)
		}
	}
	return short
}

func firstLetters(text string) string { return cutAt(text, mostLetters) }

// short is as much of a text as stands in a small cell.
func short(text string) string { return cutAt(text, 60) }

// brief is as much of a text as stands in one of very many cells.
func brief(text string) string { return cutAt(text, 24) }

func cutAt(text string, most int) string {
	letters := 0
	for at := range text {
		if letters++; letters > most {
			return text[:at] + "…"
		}
	}
	return text
}

// reasons groups failed rows.
type reasons struct {
	groups map[[2]string]*reason
	rows   int64
}

func newReasons() *reasons { return &reasons{groups: map[[2]string]*reason{}} }

// cell ends a message about a cell of a workbook, which is another in each row.
var cell = regexp.MustCompile(` \(cell [^()]*\)$`)

func (r *reasons) add(column, words string, row int64) {
	r.rows++
	words = firstLetters(cell.ReplaceAllString(words, ""))
	group := r.groups[[2]string{column, words}]
	if group == nil {
		group = &reason{Column: column, Words: words}
		r.groups[[2]string{column, words}] = group
	}
	switch group.Rows++; {
	case group.Rows == 1:
		group.Which = strconv.FormatInt(row, 10)
	case group.Rows <= mostPlaces:
		group.Which += ", " + strconv.FormatInt(row, 10)
	case group.Rows == mostPlaces+1:
		group.Which += ", …"
	}
}

// sorted are the most frequent ones.
func (r *reasons) sorted() (all []reason) {
	for _, group := range r.groups {
		all = append(all, *group)
	}
	slices.SortFunc(all, func(a, b reason) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), strings.Compare(a.Column, b.Column), strings.Compare(a.Words, b.Words))
	})
	return all[:min(len(all), mostReasons)]
}

// rejected answers GET /console/runs/{run}/rejected.csv, or .xlsx.
func (p *Page) rejected(workbook bool) handler {
	return func(ctx context.Context, rc *fasthttp.RequestCtx, _ session.Session, shown *view) error {
		shown.Section = "runs"
		if err := p.service.Loaded(); err != nil {
			return err
		}
		return p.service.AnswerRejected(ctx, rc, workbook)
	}
}
