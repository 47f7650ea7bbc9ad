package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/making"
	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/session"
	"runhook/shared/task"
	"runhook/shared/web"
)

const (
	// maxFixForm is the largest form in bytes with corrected cells.
	maxFixForm = 256 << 10
	// maxCell is how many bytes of a cell can be corrected on the page.
	maxCell = 2000
	// A chunk of corrected rows is as large as one of failed rows.
	fixedRows, fixedBytes = 256, 1 << 20
)

// fix is a failed row as it can be corrected.
type fix struct {
	Row    int64
	Column string
	Reason string
	// Fields are the cells that the column's expression uses, and Rest the others.
	Fields, Rest []fixCell
}

// fixCell is a cell of a failed row.
type fixCell struct {
	// Field is the name of its field in the form.
	Field, Name, Value string
	// Lines: it has more than one. TooLong: it is not corrected here.
	Lines, TooLong bool
}

// corrects reports whether a task's runs can read corrected rows: what the source has is text as rows are kept, and the
// destination keeps what the run before has written.
func corrects(of *task.Definition) bool {
	_, isText := of.Source.(task.TextSource)
	file, isFile := of.Destination.(task.Replacer)
	if !isText || !isFile {
		return isText
	}
	_, _, replaces := file.Replaces()
	return !replaces
}

// addFixes adds the rows of the page as they can be corrected.
func (p *Page) addFixes(data *runData, address string) {
	of, known := p.tasks.Of(data.Doc.ExecuteID)
	if data.Rejected == nil || !known || of.Deleted || of.Definition == nil || p.startRun == nil || !corrects(of.Definition) {
		return
	}
	data.Corrects = p.maker != nil
	data.Rejected.At = address
	used := map[string][]bool{}
	for _, failed := range data.Rejected.Rows {
		if used[failed.Column] == nil {
			used[failed.Column] = usedBy(of.Definition, failed.Column, data.Rejected.Columns)
		}
		one := fix{Row: failed.Row, Column: failed.Column, Reason: firstLetters(failed.Reason)}
		for i, name := range data.Rejected.Columns {
			if i >= len(failed.Cells) {
				break
			}
			cell := fixCell{
				Field: fixField(failed.Row, i), Name: name, Value: failed.Cells[i], Lines: strings.ContainsAny(failed.Cells[i], "\r\n"), TooLong: len(failed.Cells[i]) > maxCell,
			}
			if used[failed.Column][i] && !cell.TooLong {
				one.Fields = append(one.Fields, cell)
				continue
			}
			cell.Value = firstLetters(cell.Value)
			one.Rest = append(one.Rest, cell)
		}
		data.Rejected.Fixes = append(data.Rejected.Fixes, one)
	}
}

// fixField is the name of the field of a cell.
func fixField(row int64, column int) string {
	return "c." + strconv.FormatInt(row, 10) + "." + strconv.Itoa(column)
}

// usedBy says which of the source's columns the expression of the destination's column uses; all of them where that
// cannot be told. What could not be read is a column of the source's own.
func usedBy(of *task.Definition, column string, columns []string) []bool {
	used := make([]bool, len(columns))
	if at := slices.Index(columns, column); at >= 0 && !slices.ContainsFunc(of.Mapping, func(c task.Column) bool { return c.Name == column }) {
		used[at] = true
		return used
	}
	expression := ""
	if column == "where" {
		expression = of.Where
	}
	for _, c := range of.Mapping {
		if strings.EqualFold(c.Name, column) {
			expression = c.Expression
		}
	}
	if expression != "" {
		scope := mapping.NewScope(mapping.Columns{Names: columns}, of.ExpressionParams(nil))
		if _, err := scope.Compile(expression); err == nil && slices.Contains(scope.Used(), true) {
			return scope.Used()
		}
	}
	for i := range used {
		used[i] = true
	}
	return used
}

// correctedRoute takes a file with corrected rows.
func (p *Page) correctedRoute() web.Route {
	return p.uploadRoute("runs/{run}/corrected", "Start a run of the failed rows of another one, corrected in a file", p.correctedFile)
}

// failedRun is the run of a request, whose failed rows can be corrected, with its task.
func (p *Page) failedRun(ctx context.Context, rc *fasthttp.RequestCtx) (doc run.Document, of *task.Definition, err error) {
	if p.startRun == nil {
		return doc, nil, errNoStart
	}
	if doc, err = p.service.RunDocument(ctx, rc); err != nil {
		return doc, nil, explainRun(rc, err)
	}
	found, known := p.tasks.Of(doc.ExecuteID)
	if !known || found.Deleted || found.Definition == nil {
		return doc, nil, errNoTask
	}
	if !corrects(found.Definition) {
		return doc, nil, errNotCorrected
	}
	return doc, found.Definition, nil
}

var errNotCorrected = web.Refuse(fasthttp.StatusConflict, "The failed rows of this task are not corrected here, so nothing was started: its source is no file of text or workbook, or its destination is a file that each run replaces. Correct the source, and run the task.")

// correct answers POST /console/runs/{run}/correct: it starts a run of the rows of a page of failed rows that were
// changed, or of all of them if none was, and leads to it.
func (p *Page) correct(ctx context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view) error {
	shown.Section = "runs"
	doc, of, err := p.failedRun(ctx, rc)
	if err != nil {
		return err
	}
	kept, err := p.service.RejectedRows(ctx, doc.ExecuteID, doc.ImportID)
	if err != nil {
		return err
	}
	var data runData
	if kept == nil {
		return p.showRun(ctx, rc, visit, shown, doc, fasthttp.StatusConflict, "No failed rows of this run are kept. Nothing was started.")
	}
	if err := data.readRejected(ctx, kept, string(rc.PostArgs().Peek("rows"))); err != nil {
		return err
	}
	var changed []run.RejectedRow
	for _, row := range data.Rejected.Rows {
		fixed := row
		fixed.Cells = slices.Clone(row.Cells)
		for i := range fixed.Cells {
			if field := fixField(row.Row, i); rc.PostArgs().Has(field) {
				fixed.Cells[i] = asTyped(row.Cells[i], string(rc.PostArgs().Peek(field)))
			}
		}
		if !slices.Equal(fixed.Cells, row.Cells) {
			changed = append(changed, fixed)
		}
	}
	if len(changed) == 0 {
		changed = data.Rejected.Rows
	}
	return p.startCorrected(ctx, rc, shown, doc, of, data.Rejected.Columns, changed)
}

// asTyped is a cell as a form has it: a browser sends line ends in its own way.
func asTyped(before, typed string) string {
	unix := strings.NewReplacer("\r\n", "\n", "\r", "\n")
	if unix.Replace(before) == unix.Replace(typed) {
		return before
	}
	return unix.Replace(typed)
}

// correctedFile answers POST /console/runs/{run}/corrected: it starts a run of the rows of a file, and leads to it.
func (p *Page) correctedFile(ctx context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view) error {
	shown.Section = "runs"
	doc, of, err := p.failedRun(ctx, rc)
	if err != nil {
		return err
	}
	columns, rows, err := p.readCorrected(ctx, rc, doc, of)
	if refusal, ok := errors.AsType[*making.Refusal](err); ok {
		return p.showRun(ctx, rc, visit, shown, doc, fasthttp.StatusUnprocessableEntity, refusal.Message+" Nothing was started.")
	}
	if err != nil {
		return err
	}
	return p.startCorrected(ctx, rc, shown, doc, of, columns, rows)
}

// readCorrected reads the rows of the file that a form has: of its columns those of the failed rows.
func (p *Page) readCorrected(ctx context.Context, rc *fasthttp.RequestCtx, doc run.Document, of *task.Definition) (columns []string, rows []run.RejectedRow, err error) {
	kept, err := p.service.RejectedRows(ctx, doc.ExecuteID, doc.ImportID)
	if err != nil {
		return nil, nil, err
	}
	if kept == nil {
		return nil, nil, &making.Refusal{Message: "No failed rows of this run are kept."}
	}
	first, err := kept.Chunk(ctx, 1)
	if err != nil {
		return nil, nil, err
	}
	var names []string
	var read [][]string
	err = withFile(rc, func(name string, data io.Reader) (err error) {
		names, read, err = p.maker.Read(ctx, name, data, of.Source.(task.TextSource).Another("", ""))
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	places := make([]int, len(first.Columns))
	for i, column := range first.Columns {
		if places[i] = slices.Index(names, column); places[i] < 0 {
			return nil, nil, &making.Refusal{Message: "The file has no column " + column + ". Download the workbook of the failed rows, correct it there, and leave its first row as it is."}
		}
	}
	for n, cells := range read {
		row := run.RejectedRow{Row: int64(n + 1)}
		for _, at := range places {
			row.Cells = append(row.Cells, cells[at])
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, nil, &making.Refusal{Message: "The file has no row below the names of its columns."}
	}
	return first.Columns, rows, nil
}

// startCorrected stores corrected rows, starts a run that reads them, and leads to it.
func (p *Page) startCorrected(ctx context.Context, rc *fasthttp.RequestCtx, shown *view, doc run.Document, of *task.Definition, columns []string, rows []run.RejectedRow) error {
	request, err := p.service.RunRequest(ctx, doc.ExecuteID, doc.ImportID)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, _ = io.WriteString(sum, string(rc.PostArgs().Peek("once"))+"\n"+strconv.FormatUint(uint64(doc.ImportID), 10)) // which never fails
	var chunks [][]byte
	for rest := rows; len(rest) > 0; {
		count, size := 0, 0
		for count < len(rest) && count < fixedRows && size < fixedBytes {
			rest[count].Column, rest[count].Reason = "", ""
			for _, cell := range rest[count].Cells {
				size += len(cell)
			}
			count++
		}
		data, err := run.RejectedChunk{Columns: columns, Rows: rest[:count]}.Encode()
		if err != nil {
			return err
		}
		_, _ = sum.Write(data)
		chunks, rest = append(chunks, data), rest[count:]
	}
	correction := run.Correction{Of: doc.ImportID, Key: hex.EncodeToString(sum.Sum(nil))[:32], Chunks: len(chunks), Rows: int64(len(rows))}
	// They stay where no run is accepted that reads them: the same form may have been accepted before.
	if err := p.service.StoreCorrection(context.WithoutCancel(ctx), of.ID, correction, chunks, time.Now().Add(of.RejectedRows.KeepOf(false))); err != nil {
		return err
	}
	return p.start(ctx, rc, shown, run.Wanted{Task: of.ID, RepeatOf: doc.ImportID, Correction: &correction, Given: sameValues(request)})
}

// sameValues are the values of another run, as the body of a POST has them. What came from the source counts again.
func sameValues(request run.Request) (all []task.Given) {
	for name, value := range request.Parameters {
		if value.From != task.FromSource {
			all = append(all, given(name, value.Values, value.Multiple))
		}
	}
	return all
}
