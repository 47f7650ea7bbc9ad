package console

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/making"
	"runhook/shared/run"
	"runhook/shared/session"
	"runhook/shared/task"
	"runhook/shared/web"
)

// Maker makes tasks of uploaded files.
type Maker interface {
	// Keep keeps an uploaded file for a day, and returns its id. A *making.Refusal says what is wrong with it.
	Keep(ctx context.Context, name string, data io.Reader) (id string, err error)
	// Propose says what becomes of a wish, and changes nothing. making.ErrNoDraft: the file is not there any more.
	Propose(ctx context.Context, w making.Wish) (*making.Proposal, error)
	// Save writes the task of a wish into the folder of task files. Nothing is written where the error is
	// making.ErrNoDraft, making.ErrThere or a *making.Refusal.
	Save(ctx context.Context, w making.Wish) (task.ID, error)
	// Read reads all rows of an uploaded file, whose text means what that of another source does. A *making.Refusal says
	// what is wrong with it.
	Read(ctx context.Context, name string, data io.Reader, like *task.CSVSource) (columns []string, rows [][]string, err error)
	// Look says what a task makes of an uploaded file in the place of the one that it reads, and Use has it read that from
	// now on. Nothing is changed where the error is making.ErrNoDraft or a *making.Refusal.
	Look(ctx context.Context, def *task.Definition, draft string) (*making.Proposal, error)
	Use(ctx context.Context, def *task.Definition, draft string) error
}

const (
	// maxMakeForm is the largest form in bytes of a task that is being made.
	maxMakeForm = 64 << 10
	// maxUpload is the largest form with a file in bytes: what is around the file is small.
	maxUpload = making.MaxUpload + 64<<10
	// seenWithin is how long a new task is waited for until this process sees it.
	seenWithin = 5 * time.Second
)

var (
	errNotHere = &web.Problem{
		Kind: "not-here", Title: "No task can be made here", Status: fasthttp.StatusNotImplemented,
		Detail: "Tasks are made on the page of `runhook serve`, which has the folder of task files and the connections. This is a status service alone: use `runhook task new`, and put the file into the folder.",
	}
	errDraftGone = &web.Problem{
		Kind: "no-draft", Title: "The uploaded file is not there any more", Status: fasthttp.StatusNotFound,
		Detail: "A file is kept for a day, and goes once a task is saved that reads it. The list of tasks has the task if it was saved; otherwise choose the file again.",
	}
	errNotTaken = &web.Problem{
		Kind: "file-not-taken", Title: "The file was not taken", Status: fasthttp.StatusRequestEntityTooLarge,
		Detail: "Nothing was kept: the form has no file, or one of more than " + strconv.Itoa(making.MaxUpload>>20) + " MiB, or comes in parts of unknown length.",
	}
	errOnlyReads = web.Refuse(fasthttp.StatusForbidden, "You signed in with a token that only reads, so you can make no task here.")
)

// newData is what the page shows that takes a file.
type newData struct {
	// MiB is how large a file may be.
	MiB int
	// Refused is why the file that was sent is not used, empty for nothing.
	Refused string
}

// newTask answers GET /console/new with a place for a file.
func (p *Page) newTask(_ context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view) error {
	shown.Title, shown.Section = "New task", "tasks"
	switch {
	case p.maker == nil:
		return errNotHere
	case visit.ReadOnly:
		return errOnlyReads
	}
	shown.Data = newData{MiB: making.MaxUpload >> 20}
	return show(rc, fasthttp.StatusOK, "new.html", *shown)
}

// uploadRoute takes a file. What is no file of somebody who is signed in, or too large, is not read.
func (p *Page) uploadRoute(pattern, summary string, handle handler) web.Route {
	isUpload := func(header *fasthttp.RequestHeader) bool {
		length := header.ContentLength()
		return 0 < length && length <= maxUpload && bytes.HasPrefix(header.ContentType(), []byte("multipart/form-data"))
	}
	read := func(rc *fasthttp.RequestCtx) error {
		if _, err := web.Body(rc); err != nil || !isUpload(&rc.Request.Header) {
			return errNotTaken
		}
		if p.maker == nil {
			return errNotHere
		}
		return nil
	}
	return web.Route{
		Method: fasthttp.MethodPost, Pattern: Path + pattern, Summary: summary, Inner: true, MaxBody: maxUpload,
		Handler: safely(p.changeOf(read, handle)),
		Refuses: func(head web.Head) bool {
			return p.maker == nil || !isUpload(head.RequestHeader) || p.admin.Refuses(head.RequestHeader)
		},
	}
}

// upload answers POST /console/new: it keeps the file, and leads to the task that may become of it.
func (p *Page) upload(ctx context.Context, rc *fasthttp.RequestCtx, _ session.Session, shown *view) error {
	shown.Title, shown.Section = "New task", "tasks"
	id, err := p.keep(ctx, rc)
	if refusal, ok := errors.AsType[*making.Refusal](err); ok {
		shown.Data = newData{making.MaxUpload >> 20, refusal.Message}
		return show(rc, fasthttp.StatusUnprocessableEntity, "new.html", *shown)
	}
	if err != nil {
		return err
	}
	return lead(rc, shown.Up+"new/"+id)
}

func (p *Page) keep(ctx context.Context, rc *fasthttp.RequestCtx) (id string, err error) {
	err = withFile(rc, func(name string, data io.Reader) error {
		id, err = p.maker.Keep(ctx, name, data)
		return err
	})
	return id, err
}

// withFile hands the file of a form to do.
func withFile(rc *fasthttp.RequestCtx, do func(name string, data io.Reader) error) error {
	sent, err := rc.MultipartForm()
	if err != nil || len(sent.File["file"]) != 1 {
		return &making.Refusal{Field: "file", Message: "Choose a file first."}
	}
	header := sent.File["file"][0]
	file, err := header.Open()
	if err != nil {
		return err
	}
	defer file.Close()
	return do(header.Filename, file)
}

// madeData is what the page shows of a task that is being made.
type madeData struct {
	*making.Proposal
	// Refused is why it was not saved, empty for nothing, and Field what that is about.
	Refused, Field string
	MiB            int
	// Starts: the page can start runs.
	Starts bool
	// Types are what a column of a new table may hold, and Days the ways in which days are written.
	Types, Days []string
	// Lists: the columns are chosen from a list that all fields share, because there are many.
	Lists bool
}

// dayWays are the ways in which people write days.
var dayWays = []string{"dd.MM.yyyy", "d.M.yyyy", "dd/MM/yyyy", "MM/dd/yyyy", "d/M/yyyy", "M/d/yyyy", "dd-MM-yyyy", "yyyy/MM/dd", "dd.MM.yy"}

// draftPage answers GET /console/new/{draft} with a task as it would be.
func (p *Page) draftPage(ctx context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view) error {
	shown.Section = "tasks"
	switch {
	case p.maker == nil:
		return errNotHere
	case visit.ReadOnly:
		return errOnlyReads
	}
	return p.showDraft(ctx, rc, shown, making.Wish{Draft: web.PathValue(rc, "draft")}, fasthttp.StatusOK, "", "")
}

// showDraft shows a task as it would be, and why it was not saved.
func (p *Page) showDraft(ctx context.Context, rc *fasthttp.RequestCtx, shown *view, w making.Wish, status int, refused, field string) error {
	proposal, err := p.maker.Propose(ctx, w)
	if errors.Is(err, making.ErrNoDraft) {
		return errDraftGone
	}
	if err != nil {
		return err
	}
	const mostOptions = 500 // in all selects: a page is small
	shown.Title = "New task"
	shown.Data = madeData{
		Proposal: proposal, Refused: refused, Field: field, MiB: making.MaxUpload >> 20, Starts: p.startRun != nil, Types: making.Types, Days: dayWays,
		Lists: len(proposal.Columns)*len(proposal.Targets) > mostOptions,
	}
	return show(rc, status, "draft.html", *shown)
}

// make answers POST /console/new/{draft}: it shows the task as it would be, or saves it and leads to it, or to its run.
func (p *Page) make(ctx context.Context, rc *fasthttp.RequestCtx, _ session.Session, shown *view) error {
	shown.Section = "tasks"
	if p.maker == nil {
		return errNotHere
	}
	w, then := wish(rc), string(rc.PostArgs().Peek("then"))
	switch {
	case then != "save" && then != "run" && then != "dry":
		return p.showDraft(ctx, rc, shown, w, fasthttp.StatusOK, "", "")
	case !w.Chosen:
		return p.showDraft(ctx, rc, shown, w, fasthttp.StatusConflict, "Nothing was saved yet: you chose another sheet or table, so the columns below are suggested anew. Look at them, and save again.", "")
	}
	id, err := p.maker.Save(context.WithoutCancel(ctx), w)
	refusal, refused := errors.AsType[*making.Refusal](err)
	switch {
	case errors.Is(err, making.ErrNoDraft):
		return errDraftGone
	case errors.Is(err, making.ErrThere):
		return p.showDraft(ctx, rc, shown, w, fasthttp.StatusConflict, "Nothing was saved: there is a task file of this name already. Give it another name.", "fname")
	case refused:
		return p.showDraft(ctx, rc, shown, w, fasthttp.StatusUnprocessableEntity, refusal.Message, refusal.Field)
	case err != nil:
		return err
	}
	seen := p.sees(ctx, id)
	p.service.TaskMade(ctx, rc, id)
	if then == "save" || !seen || p.startRun == nil {
		return lead(rc, shown.Up+"tasks/"+string(id))
	}
	return p.start(ctx, rc, shown, run.Wanted{Task: id, DryRun: then == "dry"})
}

// sees waits until this process knows a task.
func (p *Page) sees(ctx context.Context, id task.ID) bool {
	ctx, cancel := context.WithTimeout(ctx, seenWithin)
	defer cancel()
	for {
		changed := p.tasks.Changed()
		if _, found := p.tasks.Named(string(id)); found.Definition != nil {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// The fields of the form about one column begin with these, before its name.
const (
	fromField    = "m-"
	formulaField = "f-"
	daysField    = "d-"
	typeField    = "t-"
	// ofField is the column for which days were chosen.
	ofField = "o-"
)

// formulaMark is chosen in the place of a column for a formula, and newTable in the place of a table for a new one.
const (
	formulaMark = "="
	newTable    = "+"
)

// wish is what a form has of a task that is being made. What was chosen for another table is not taken for this one's.
func wish(rc *fasthttp.RequestCtx) making.Wish {
	sent := rc.PostArgs()
	text := func(name string) string { return string(sent.Peek(name)) }
	w := making.Wish{
		Draft: web.PathValue(rc, "draft"), Sheet: text("sheet"), Connection: text("conn"), Name: text("name"), File: text("fname"), Choices: map[string]making.Choice{},
	}
	w.HeaderRow, _ = strconv.Atoi(text("header"))
	w.HeaderRow = min(max(w.HeaderRow, 0), 1000)
	switch table := text("table"); {
	case table == newTable || table == "" && text("newtable") != "":
		w.New, w.Table = true, text("newtable")
	default:
		w.Table = table
	}
	if text("for") != place(w) {
		return w
	}
	w.Chosen, w.Action = true, text("action")
	for _, key := range sent.PeekMulti("key") {
		w.Key = append(w.Key, string(key))
	}
	for name, value := range sent.All() {
		target, ok := strings.CutPrefix(string(name), fromField)
		if !ok {
			continue
		}
		choice := making.Choice{From: string(value), Type: text(typeField + target)}
		if choice.DaysChosen = sent.Has(daysField+target) && text(ofField+target) == choice.From; choice.DaysChosen {
			choice.Days = text(daysField + target)
		}
		if formula, is := strings.CutPrefix(choice.From, formulaMark); is {
			choice.From, choice.Formulated, choice.Formula = "", true, cmp.Or(strings.TrimSpace(formula), text(formulaField+target))
		}
		w.Choices[target] = choice
	}
	return w
}

// place tells what a wish's columns and key are chosen for.
func place(w making.Wish) string {
	table := w.Table
	if w.New {
		table = newTable
	}
	return url.Values{"sheet": {w.Sheet}, "header": {strconv.Itoa(w.HeaderRow)}, "in": {w.Connection, table}}.Encode()
}

// For is what the choices of the form are for; see place.
func (d madeData) For() string { return place(d.Wish) }

// KeyIs reports whether a column identifies rows.
func (d madeData) KeyIs(name string) bool {
	for _, key := range d.Key {
		if key == name {
			return true
		}
	}
	return false
}

// Mapped are the columns of the destination that get something.
func (d madeData) Mapped() (some []making.Target) {
	for _, t := range d.Targets {
		if t.Choice.From != "" || t.Choice.Formulated {
			some = append(some, t)
		}
	}
	return some
}

// HeaderRows are the rows of which one may name the columns.
func (d madeData) HeaderRows() (rows []int) {
	for row := 1; row <= max(10, d.HeaderRow); row++ {
		rows = append(rows, row)
	}
	return rows
}

// actionChoice is what may happen to each row, in words.
type actionChoice struct {
	Value       string
	Words, Help string
}

// Actions are what may happen to each row.
func (madeData) Actions() []actionChoice {
	return []actionChoice{
		{string(task.Upsert), "Insert/Update", "rows that are there are updated, others added"},
		{string(task.Insert), "Insert", "all are added; a second run adds them again"},
		{string(task.Update), "Update", "only rows that are there"},
		{string(task.Delete), "Delete", "rows that are there are removed"},
	}
}

// previewed is how many columns the first rows show: a page is small.
const previewed = 12

// Previewed are those of the columns that the first rows show, and PreviewedCells their cells.
func (madeData) Previewed(of []making.Target) []making.Target { return of[:min(len(of), previewed)] }

// PreviewedCells are the cells of the columns that are previewed.
func (madeData) PreviewedCells(of []making.Cell) []making.Cell { return of[:min(len(of), previewed)] }

// Unpreviewed is how many columns the first rows do not show.
func (d madeData) Unpreviewed() int { return max(0, len(d.Mapped())-previewed) }
