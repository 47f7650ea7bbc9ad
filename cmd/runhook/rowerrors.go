package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"runhook/shared/client"
	"runhook/shared/run"
)

const (
	// mostReasons and mostPlaces bound how many reasons are printed, and how many rows of each.
	mostReasons = 20
	mostPlaces  = 5
)

// reasons are the errors of rows, those of a column and a reason together, in the order in which they came.
type reasons struct {
	groups []*reason
	rows   int64
}

type reason struct {
	column string
	// message is without the cell of a workbook, which is another in each row.
	message string
	rows    int64
	// first are the first rows.
	first []run.RowError
}

// cell ends a message about a cell of a workbook.
var cell = regexp.MustCompile(` \(cell [^()]*\)$`)

func (r *reasons) add(fault run.RowError) {
	r.rows++
	message := cell.ReplaceAllString(fault.Message, "")
	at := slices.IndexFunc(r.groups, func(g *reason) bool { return g.column == fault.Column && g.message == message })
	if at < 0 {
		if len(r.groups) == mostReasons {
			return
		}
		at = len(r.groups)
		r.groups = append(r.groups, &reason{column: fault.Column, message: message})
	}
	group := r.groups[at]
	if group.rows++; len(group.first) < mostPlaces {
		group.first = append(group.first, fault)
	}
}

// String is one line: a single row as where, column and reason, and several as how many, why and where.
func (g *reason) String() string {
	if g.rows == 1 {
		where := run.PlaceOf(g.first[0].Row, g.first[0].Line)
		if g.column != "" {
			where += ", " + g.column
		}
		return where + ": " + g.first[0].Message
	}
	places := make([]string, len(g.first))
	for i, fault := range g.first {
		places[i] = strings.TrimPrefix(run.PlaceOf(fault.Row, fault.Line), "row ")
	}
	if g.rows > mostPlaces {
		places = append(places, "…")
	}
	return fmt.Sprintf("%d rows: %s: %s", g.rows, strings.TrimSpace(g.column+" "+g.message), strings.Join(places, ", "))
}

// reasonsOf are those of listed errors.
func reasonsOf(listed []run.RowError) *reasons {
	var all reasons
	for _, fault := range listed {
		all.add(fault)
	}
	return &all
}

// printReasons prints the reasons of so many errors.
func (p *program) printReasons(all *reasons, errors int64) {
	shown := int64(0)
	for _, group := range all.groups {
		p.printf("  %s\n", group)
		shown += group.rows
	}
	if more := errors - shown; more > 0 && shown > 0 {
		p.printf("  and %d more\n", more)
	}
}

// printErrors lists why rows failed. A document has the first of them only; the failed rows have all.
func (p *program) printErrors(ctx context.Context, server *client.Client, doc run.Document) {
	all := reasonsOf(doc.Errors)
	if doc.Status == run.Done && doc.RowsFailed > int64(len(doc.Errors)) {
		if kept, err := rejectedReasons(ctx, server, doc); err == nil && kept.rows >= all.rows {
			all = kept
		}
	}
	p.printReasons(all, max(doc.RowsFailed, int64(len(doc.Errors))))
	if doc.Status == run.Done && doc.RowsFailed > 0 {
		p.printf("`runhook runs rejected %s` prints these rows, with the reasons.\n", doc.ImportID)
	}
}

// rejectedTail are the columns that rejected rows have behind those of the source, with the delimiter.
var rejectedTail = regexp.MustCompile(`Row( \d+)?(.)Column( \d+)?(.)Reason( \d+)?\r?\n$`)

var errOtherRows = errors.New("the rejected rows have another form")

// rejectedReasons reads the failed rows of a run, and keeps why each failed. The words of databases and
// services are left out of reasons that the document has too, because they may differ from row to row.
func rejectedReasons(ctx context.Context, server *client.Client, doc run.Document) (*reasons, error) {
	reading, writing := io.Pipe()
	defer func() { _ = reading.Close() }() // ends the download, if it is not read whole
	go func() { _ = writing.CloseWithError(server.Rejected(ctx, doc.ImportID, false, writing)) }()
	in := bufio.NewReader(reading)
	header, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	tail := rejectedTail.FindStringSubmatch(header)
	if tail == nil || tail[2] != tail[4] {
		return nil, errOtherRows
	}
	rows := csv.NewReader(in)
	rows.Comma, _ = utf8.DecodeRuneInString(tail[2])
	rows.FieldsPerRecord, rows.ReuseRecord = -1, true
	var all reasons
	for {
		cells, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return &all, nil
		}
		if err != nil || len(cells) < 3 {
			return nil, errors.Join(errOtherRows, err)
		}
		cells = cells[len(cells)-3:]
		number, _ := strconv.ParseInt(cells[0], 10, 64) // 0 is no row
		fault := run.RowError{Row: number, Column: strings.Clone(cells[1]), Message: strings.Clone(cells[2])}
		for _, listed := range doc.Errors {
			if listed.Row == fault.Row {
				fault.Line = listed.Line
			}
			if listed.Column == fault.Column && strings.HasPrefix(fault.Message, listed.Message+": ") {
				fault.Message = listed.Message
			}
		}
		all.add(fault)
	}
}
