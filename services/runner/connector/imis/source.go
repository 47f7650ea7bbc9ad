// Package imis reads the rows of an IQA from an iMIS site, and writes rows to its panels and business
// objects, through its REST API.
package imis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"runhook/services/runner/connector"
	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Source reads the rows of one IQA. While the rows of a page are being used the next page is fetched.
// Whole numbers are int64, other numbers json.Number, dates text as iMIS writes them. It belongs to
// one goroutine.
type Source struct {
	from    *task.IMISSource
	prompts []prompt
	client  *client
	columns mapping.Columns

	// page is being read, and row is its next; spare is the memory of the one before.
	page, spare *page
	row         int
	read        int64
	// first is the number of all rows by the first page; counted says whether it told one.
	first   int64
	counted bool
	// repeats watches the destination's key, nil where the rows do not have it.
	repeats *repeats

	// fetching is under way while ahead is true, and ends with one result.
	ahead    bool
	fetched  chan fetched
	fetching sync.WaitGroup
	ctx      context.Context
	stop     context.CancelFunc
}

// fetched is what became of a page.
type fetched struct {
	page *page
	err  error
	// panicked is what fetching panicked with, for the reader to go on with.
	panicked any
}

// Open signs in where that is needed, and reads the first page of the job's IQA. Whatever is wrong is a
// [*run.Failure], or ctx's error.
func Open(ctx context.Context, job connector.Job) (*Source, error) {
	def, values := job.Task, job.Parameters
	from := iqa(def)
	where, err := job.Connections.IMIS(from.Connection)
	if err != nil {
		return nil, err
	}
	s := &Source{from: from, fetched: make(chan fetched, 1), spare: &page{}}
	if s.prompts, err = prompts(def, values); err != nil {
		return nil, err
	}
	s.client = open(where)
	s.ctx, s.stop = context.WithCancel(ctx)
	if err := s.begin(job.Total); err != nil {
		s.Close()
		return nil, err
	}
	if found := s.page.columns; found != nil {
		s.columns.Names = found.names
	} else {
		s.columns.Unknown = true
	}
	s.repeats = watch(def, values, s.columns)
	return s, nil
}

// begin reads the first page, and before it one row, which the site gives soon, with the number of all: told is
// told it, unless it is nil.
func (s *Source) begin(told func(rows int64)) (err error) {
	if err := s.resolve(); err != nil {
		return err
	}
	one, err := s.fetch(&page{}, 1, 0)
	if err != nil {
		return err
	}
	s.first, s.counted = one.total, one.counted
	if one.counted && told != nil {
		told(one.total)
	}
	s.page, err = s.fetch(&page{}, int64(s.from.PageSize), 0)
	return err
}

// resolve gives the task's prompts the names that /api/query knows them by, if any of them has a value: a
// name that it does not know might be passed over, and all rows come. The error is a [*run.Failure] or a
// context's.
func (s *Source) resolve() error {
	valued := slices.ContainsFunc(s.prompts, func(p prompt) bool { return p.value != "" })
	if s.from.Endpoint == task.IQAEndpoint || !valued {
		return nil
	}
	labeled, err := s.client.labels(s.ctx, s.from)
	if len(labeled) == 0 || err != nil {
		return err
	}
	return s.rename(&definition{prompts: labeled})
}

// rename gives the prompts that have a value the names that the definition has for them.
func (s *Source) rename(d *definition) error {
	if wrong := d.compare(s.from.Endpoint, s.prompts); len(wrong) > 0 {
		return run.Failf("%s: %s", s.Name(), strings.Join(wrong, "; "))
	}
	for i, p := range s.prompts {
		if found, _ := d.prompt(p.name); found != nil {
			s.prompts[i].name = found.name
		}
	}
	return nil
}

// Columns are those of the first page's rows. Of an IQA without rows they are not known.
func (s *Source) Columns() mapping.Columns { return s.columns }

// Next reads the next row into cells; see connector.Source.
func (s *Source) Next(ctx context.Context, cells []any) (size int, err error) {
	for s.row == len(s.page.sizes) {
		if !s.page.more {
			return 0, s.end()
		}
		if err := s.turn(ctx); err != nil {
			return 0, err
		}
	}
	if !s.ahead && s.page.more {
		s.fetchAhead()
	}
	width := len(s.columns.Names)
	copy(cells, s.page.cells[s.row*width:][:width])
	size = s.page.sizes[s.row]
	s.row++
	s.read++
	if s.repeats != nil {
		s.repeats.see(s.read, cells)
	}
	return size, nil
}

// end is io.EOF if all rows were read that the site counts.
func (s *Source) end() error {
	if total, counted := s.all(); counted && s.read < total {
		return run.Failf("%s says that it has %s (TotalCount), and gave %d; compare with what iMIS shows, and run it again", s.Name(), countOf(total), s.read)
	}
	return io.EOF
}

// all is the number of all rows by the last page that was read or, if that does not say, by the first.
func (s *Source) all() (total int64, counted bool) {
	if s.page.counted {
		return s.page.total, true
	}
	return s.first, s.counted
}

// Warnings say what does not fit together in the rows so far; see connector.Warner.
func (s *Source) Warnings() (all []string) {
	if total, counted := s.all(); counted && s.read > total {
		all = append(all, fmt.Sprintf("%s says that it has %s (TotalCount), and gave %d; compare with what iMIS shows", s.Name(), countOf(total), s.read))
	}
	if s.counted && s.page.counted && s.first != s.page.total {
		all = append(all, fmt.Sprintf("%s had %s at first, and %d when its last page was read: rows may be missing, or there twice", s.Name(), countOf(s.first), s.page.total))
	}
	if _, repeated := s.Repeats(); repeated != "" {
		all = append(all, repeated)
	}
	return all
}

// Repeats are the rows with a key of an earlier page; see connector.Repeater.
func (s *Source) Repeats() (rows int64, warning string) {
	if s.repeats != nil {
		rows = s.repeats.rows
	}
	return rows, s.repeats.warning(s.Name())
}

// fetchAhead begins to fetch the page after the present one.
func (s *Source) fetchAhead() {
	into, limit, offset := s.spare, s.pageSize(), s.page.next
	into.columns = s.page.columns
	s.ahead = true
	s.fetching.Go(func() {
		var result fetched
		defer func() {
			result.panicked = recover()
			s.fetched <- result
		}()
		result.page, result.err = s.fetch(into, limit, offset)
	})
}

// turn waits for the next page, and makes it the present one.
func (s *Source) turn(ctx context.Context) error {
	if !s.ahead {
		s.fetchAhead()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case result := <-s.fetched:
		s.ahead = false
		if result.panicked != nil {
			panic(result.panicked)
		}
		if result.err != nil {
			return result.err
		}
		s.spare, s.page, s.row = s.page, result.page, 0
		if s.repeats != nil {
			s.repeats.turn()
		}
		return nil
	}
}

// fetch asks for a page, and reads it into that memory. The error is a [*run.Failure] or a context's.
func (s *Source) fetch(into *page, limit, offset int64) (*page, error) {
	got, err := s.request(into, limit, offset)
	if refused, ok := errors.AsType[*refusal](err); ok {
		return nil, s.explain(refused)
	}
	return got, err
}

// request is fetch whose error may be a [*refusal] too.
func (s *Source) request(into *page, limit, offset int64) (*page, error) {
	text, err := s.client.ask(s.ctx, s.Name(), "/api/"+string(s.from.Endpoint)+"?"+pageQuery(s.from, s.prompts, limit, offset), "")
	if err != nil {
		return nil, err
	}
	into.asked = limit
	err = into.decode(s.ctx, text)
	again, isTwice := errors.AsType[*twice](err)
	more, isExcess := errors.AsType[excess](err)
	switch {
	case isExcess:
		return nil, run.Failf("%s gives %s", s.Name(), more)
	case s.ctx.Err() != nil:
		return nil, s.ctx.Err()
	case isTwice:
		return nil, run.Failf("%s gives two columns named %s; give one of them another alias", s.Name(), again.name)
	case err != nil:
		return nil, run.Failf("%s answers with JSON that is not a page of rows as iMIS gives it", s.Name())
	case into.offset != offset:
		return nil, run.Failf("%s gives the page that begins at row %d where the one at row %d was asked for", s.Name(), into.offset, offset)
	case into.more && len(into.sizes) == 0:
		return nil, run.Failf("%s gives no row on the page that begins at row %d, and says that there are more behind it; see in iMIS which rows it should have, and run the task again", s.Name(), offset)
	case into.more && into.next <= offset:
		return nil, run.Failf("%s does not come to an end: after the page at row %d it names one that begins at row %d", s.Name(), offset, into.next)
	}
	return into, nil
}

// Name is what messages call the IQA; see connector.Named.
func (s *Source) Name() string {
	return "the IQA " + s.from.Query + " of connection " + s.from.Connection
}

// explain says why the site refuses the IQA. The prompts and the path are looked up in its definition,
// for iMIS does not say the same everywhere.
func (s *Source) explain(r *refusal) error {
	if r.status == statusNotImplemented {
		return run.Failf("%s is not available through the REST API; switch on \"Available via the REST API\" in its properties", s.Name())
	}
	if r.status != statusBadRequest && r.status != statusNotFound {
		return r.failure(s.Name())
	}
	definition, err := s.client.definition(s.ctx, s.from)
	switch {
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case err != nil:
		return r.failure(s.Name())
	case definition == nil:
		return s.missing()
	}
	if wrong := definition.compare(s.from.Endpoint, s.prompts); len(wrong) > 0 {
		return run.Failf("%s: %s", s.Name(), strings.Join(wrong, "; "))
	}
	return run.Failf("%s is refused with status %d: a value may not fit its prompt", s.Name(), r.status)
}

// missing says that there is no such IQA, or that it is not published: services that run queries do not see the
// working copy of a document, and the list of documents does.
func (s *Source) missing() error {
	name := s.from.Query[strings.LastIndexByte(s.from.Query, '/')+1:]
	text, err := s.client.ask(s.ctx, "the documents of connection "+s.from.Connection, "/api/DocumentSummary?Name="+escape(plain(name)), "")
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	list, elsewhere := listing{}, ""
	if err == nil {
		list.read(text)
	}
	for _, item := range list.items {
		one := scanner{text: item}
		document, _ := one.value().(map[string]any)
		kind, path := textOf(document["DocumentTypeId"]), textOf(document["Path"])
		switch {
		case kind != "" && kind != "IQD":
		case strings.EqualFold(path, s.from.Query):
			return run.Failf("the IQA %s on the site of connection %s is not published: there is a working copy of it alone, or its account may not see more; publish it in iMIS", s.from.Query, s.from.Connection)
		case path != "":
			elsewhere = path
		}
	}
	if elsewhere != "" {
		return run.Failf("there is no IQA %s on the site of connection %s, or its account cannot see it; one of that name is %s", s.from.Query, s.from.Connection, elsewhere)
	}
	return run.Failf("there is no IQA %s on the site of connection %s, or its account cannot see it; correct source.imis.query", s.from.Query, s.from.Connection)
}

// Version is not known: what an IQA gives is in the site's database.
func (s *Source) Version() (string, error) { return "", nil }

// Skip passes over rows by asking for the page that begins behind them. The columns stay those of the
// first page.
func (s *Source) Skip(ctx context.Context, rows int64) error {
	if rows < int64(len(s.page.sizes)) || !s.page.more {
		if rows > int64(len(s.page.sizes)) {
			return io.EOF
		}
		s.row, s.read = int(rows), rows
		return nil
	}
	s.spare.columns = s.page.columns
	found, err := s.fetch(s.spare, s.pageSize(), rows)
	if err != nil {
		return err
	}
	s.spare, s.page, s.row, s.read = s.page, found, 0, rows
	return ctx.Err()
}

// pageSize is how many rows are asked for after the first page: as many as the site gives there at most.
func (s *Source) pageSize() int64 {
	if s.page.limit > 0 {
		return min(s.page.limit, int64(s.from.PageSize))
	}
	return int64(s.from.PageSize)
}

// Progress goes by the number of rows that the site tells.
func (s *Source) Progress() (part float64, total int64) {
	total = s.page.total
	if total <= 0 {
		return 0, 0
	}
	return min(1, float64(s.read)/float64(total)), total
}

// Close ends what is being fetched, and waits for it.
func (s *Source) Close() error {
	s.stop()
	s.fetching.Wait()
	s.client.close()
	return nil
}
