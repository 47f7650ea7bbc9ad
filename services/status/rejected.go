package status

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"runhook/services/status/xlsx"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// The types in which rejected rows can be had.
const (
	csvType  = "text/csv; charset=utf-8"
	xlsxType = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
)

// downloadPause is how long a client may leave the rows unread that were sent to it.
const downloadPause = 30 * time.Second

var (
	errNotEnded = &web.Problem{
		Kind: "run-not-ended", Title: "The run has not ended", Status: fasthttp.StatusConflict,
		Detail: "The rejected rows are those of the whole run, and it has not ended. Poll its status until it has, and ask again.",
	}
	errNoneRejected = &web.Problem{
		Kind: "no-rejected-rows", Title: "No row was rejected", Status: fasthttp.StatusNotFound,
		Detail: "No row of this run failed, so there are none to download.",
	}
	errNotForSheet = &web.Problem{
		Kind: "too-large-for-xlsx", Title: "A sheet cannot hold the rows", Status: fasthttp.StatusNotAcceptable,
		Detail: "The rejected rows have more rows or columns, or a longer text in a cell, than a sheet can hold. Ask for text/csv.",
	}
	errRowsNotSigned = &web.Problem{
		Kind: "signature-needed", Title: "The address needs its signature", Status: fasthttp.StatusForbidden,
		Detail: "Rejected rows hold data. Send the admin token or, if the task has auth, its credential, or use RejectedUrl exactly as the POST's answer has it, if that has a ?sig=.",
	}
	errRowsWrongSignature = &web.Problem{
		Kind: "wrong-signature", Title: "The signature does not fit", Status: fasthttp.StatusForbidden,
		Detail: "The sig of this address does not open the rejected rows of this run. Use RejectedUrl exactly as the POST's answer has it, or send the admin token, or the task's credential if it has auth.",
	}
)

// rejected answers the rows that a run rejected to who holds its signature, or the admin token.
func (s *Service) rejected(ctx context.Context, rc *fasthttp.RequestCtx) error {
	at, err := s.target(rc)
	if err != nil {
		return err
	}
	if _, err := s.holds(ctx, rc, at, web.ReadRows, errRowsNotSigned, errRowsWrongSignature); err != nil {
		return err
	}
	if err := s.loaded(); err != nil {
		return err
	}
	err = s.answerRejected(ctx, rc, at.id, at.number)
	if errors.Is(err, run.ErrNoRun) && at.elsewhere() {
		err = s.answerRejected(ctx, rc, at.task.ID, at.number)
	}
	return err
}

// rejectedByNumber answers GET /api/runs/{run}/rejected.
func (s *Service) rejectedByNumber(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	id, number, err := s.findRun(ctx, rc)
	if err != nil {
		return err
	}
	return s.answerRejected(ctx, rc, id, number)
}

func (s *Service) answerRejected(ctx context.Context, rc *fasthttp.RequestCtx, id task.ID, number run.Number) error {
	// The body is read after the handler has returned; a stop of the server cuts its connection.
	whole := context.WithoutCancel(ctx)
	rows, err := s.options.Runs.RejectedRows(whole, id, number)
	switch {
	case errors.Is(err, run.ErrNotEnded):
		return errNotEnded
	case err != nil:
		return err
	case rows.Chunks() == 0:
		return errNoneRejected
	}
	first, err := rows.Chunk(whole, 1)
	if err != nil {
		return err
	}
	out := &download{ctx: whole, conn: rc.Conn(), rows: rows}
	extension, mediaType := "csv", csvType
	if prefers(rc.Request.Header.Peek(fasthttp.HeaderAccept), xlsxType, "text/csv") {
		extension, mediaType = "xlsx", xlsxType
		if err := fitSheet(whole, rows); err != nil {
			return err
		}
		out.to, err = xlsx.New(&out.ready, "Rejected rows")
	} else {
		out.to, err = newCSV(&out.ready, first.Delimiter)
	}
	if err == nil {
		err = out.to.Write(rejectedHeader(first.Columns))
	}
	if err != nil {
		return err
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	rc.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
	rc.Response.Header.Set(fasthttp.HeaderContentDisposition, fmt.Sprintf("attachment; filename=%q", "rejected-"+number.String()+"."+extension))
	rc.SetContentType(mediaType)
	rc.SetBodyStream(out, -1)
	return nil
}

// prefers reports whether an Accept header names a type, and does not like another one as much.
func prefers(accept []byte, wanted, other string) bool {
	if len(accept) == 0 {
		return false
	}
	quality := map[string]float64{}
	for part := range strings.SplitSeq(string(accept), ",") {
		name, parameters, _ := strings.Cut(part, ";")
		q := 1.0
		for parameter := range strings.SplitSeq(parameters, ";") {
			if value, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
				q, _ = strconv.ParseFloat(value, 64) // what is no number is none
			}
		}
		quality[strings.ToLower(strings.TrimSpace(name))] = q
	}
	return quality[wanted] > quality[other]
}

// rejectedHeader is the source's columns and three of ours, under names that the source does not have.
func rejectedHeader(columns []string) []string {
	suffix := ""
	for n := 2; slices.ContainsFunc(columns, func(c string) bool {
		return strings.EqualFold(c, "Row"+suffix) || strings.EqualFold(c, "Column"+suffix) || strings.EqualFold(c, "Reason"+suffix)
	}); n++ {
		suffix = " " + strconv.Itoa(n)
	}
	return append(slices.Clone(columns), "Row"+suffix, "Column"+suffix, "Reason"+suffix)
}

// fitSheet finds out before the first byte is sent whether a sheet can hold the rows.
func fitSheet(ctx context.Context, rows *bus.RejectedRows) error {
	count := 1
	for n := 1; n <= rows.Chunks(); n++ {
		chunk, err := rows.Chunk(ctx, n)
		if err != nil {
			return err
		}
		count += len(chunk.Rows)
		fit := count <= xlsx.MaxRows && len(chunk.Columns)+3 <= xlsx.MaxColumns
		for _, r := range chunk.Rows {
			fit = fit && !slices.ContainsFunc(r.Cells, func(cell string) bool { return !xlsx.Fits(cell) })
		}
		if !fit {
			return errNotForSheet
		}
	}
	return nil
}

// sheet is what rows are written to: CSV or a workbook.
type sheet interface {
	Write(cells []string) error
	Close() error
}

// csvSheet is CSV as programs of spreadsheets and our own source take it: with a byte order mark, in
// UTF-8. Cells are as they were read, also those that a spreadsheet would take for a formula: the
// file is to be imported again. To look at them safely there is XLSX.
type csvSheet struct{ *csv.Writer }

func newCSV(to io.Writer, delimiter string) (csvSheet, error) {
	if _, err := io.WriteString(to, "\uFEFF"); err != nil {
		return csvSheet{}, err
	}
	w := csv.NewWriter(to)
	if letter, _ := utf8.DecodeRuneInString(delimiter); letter != utf8.RuneError {
		w.Comma = letter
	}
	return csvSheet{w}, nil
}

func (s csvSheet) Close() error {
	s.Flush()
	return s.Error()
}

// download is the body of an answer with rejected rows. It reads a chunk when the one before is sent.
type download struct {
	ctx  context.Context
	conn net.Conn
	rows *bus.RejectedRows
	to   sheet
	// ready is what to has written and was not yet sent.
	ready bytes.Buffer
	next  int
	ended bool
}

// Read fails when a chunk cannot be read. The server then closes the connection without an end of
// the body, which tells the client that something is missing.
func (d *download) Read(p []byte) (int, error) {
	// The server's time-out for one answer counts anew: there may be much to send.
	if err := d.conn.SetWriteDeadline(time.Now().Add(downloadPause)); err != nil {
		return 0, err
	}
	for d.ready.Len() == 0 && !d.ended {
		if err := d.fill(); err != nil {
			return 0, err
		}
	}
	return d.ready.Read(p)
}

func (d *download) fill() error {
	if d.next == d.rows.Chunks() {
		d.ended = true
		return d.to.Close()
	}
	d.next++
	chunk, err := d.rows.Chunk(d.ctx, d.next)
	if err != nil {
		return err
	}
	for _, r := range chunk.Rows {
		if err := d.to.Write(append(r.Cells, strconv.FormatInt(r.Row, 10), r.Column, r.Reason)); err != nil {
			return err
		}
	}
	return nil
}
