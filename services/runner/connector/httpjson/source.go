// Package httpjson reads rows from web services that give them as pages of JSON.
package httpjson

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/task"
)

// The columns are those of the first rows: so many, or as many as come in this much text or time.
const (
	sampleRows  = 1000
	sampleBytes = 4 << 20
	sampleTime  = time.Second
)

// Where a person looks, the first page is read to its end, within this much text and time more.
const (
	lookBytes = 64 << 20
	lookTime  = 10 * time.Second
)

// The bounds of what a service may do without giving rows that are new.
const (
	maxEmptyPages = 100
	maxSamePages  = 2
	// maxGap is how many pages without rows may come between others, if the service's count says that there
	// are more.
	maxGap = 10
	// keptSums is how many rows of a page are known again on the pages behind it, or as many as were asked for up to
	// maxSums.
	keptSums = 10_000
	maxSums  = 1_000_000
)

// The bounds of what a service may give: columns, and pages.
const (
	maxColumns = 16_384
	maxPages   = 1_000_000
)

// Source reads the rows of one http source. It belongs to one goroutine. Cells are what JSON has:
// text, true and false, whole numbers as int64, other numbers digit for digit as json.Number, lists
// and objects as such, and nil for null and for what a row lacks.
type Source struct {
	from   *task.HTTPSource
	client *client
	// reading ends with the run, or with the source.
	reading context.Context
	stop    context.CancelFunc
	bound   bool

	columns []string
	index   map[string]int
	types   []check.Column
	// sample are the first rows, which were read for their columns and are still to be given; empty
	// says that there were none.
	sample [][]byte
	empty  bool

	first *url.URL
	pages pages
	page  *page
	// breaks is how often the page broke off without a row more.
	breaks int
	// looking: the first rows are for a person to see, and what a run fails for at its end is a warning.
	looking bool
	// sure is what the pages that have been read show of the task's places.
	sure sure
	// seed is that of all hashes.
	seed maphash.Seed
	// rows and total are of all pages; total is 0 until a page says it.
	rows, total int64
	ended       bool
	// behind: lookBehind has asked.
	behind bool
}

// Open asks for the first page and reads the columns from its first rows. params are the task's
// parameters as expressions see them. Whatever is wrong is a [*run.Failure], or ctx's error.
func Open(ctx context.Context, connections *connection.Set, from *task.HTTPSource, params map[string]any) (*Source, error) {
	return open(ctx, connections, from, params, usualPatience, false)
}

func open(ctx context.Context, connections *connection.Set, from *task.HTTPSource, params map[string]any, p patience, looking bool) (*Source, error) {
	to, err := connections.HTTP(from.Connection)
	if err != nil {
		return nil, err
	}
	target, err := from.Expand(params)
	if err != nil {
		return nil, run.Failf("source.http.path: %v", err)
	}
	s := &Source{from: from, client: newClient(to, p), seed: maphash.MakeSeed(), index: map[string]int{}, looking: looking}
	if s.first, err = s.client.locate("source.http.path", target); err != nil {
		return nil, err
	}
	s.pages = newPages(s.first, from.Next)
	s.reading, s.stop = context.WithCancel(ctx)
	if err := s.readSample(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// readSample reads the first rows for the columns that they have.
func (s *Source) readSample() error {
	limit := time.Now().Add(sampleTime)
	for bytes := 0; len(s.sample) < sampleRows && bytes < sampleBytes && time.Now().Before(limit) || s.looking && s.firstPage() && bytes < lookBytes && time.Since(limit) < lookTime; {
		item, err := s.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for _, name := range keys(item) {
			s.addColumn(name)
		}
		if len(s.columns) > maxColumns {
			return run.Failf("the rows of %s have more than %d columns", s.place(1), maxColumns)
		}
		s.sample = append(s.sample, slices.Clone(item))
		bytes += len(item)
	}
	if len(s.sample) > 0 && len(s.columns) == 0 {
		if s.from.Lines {
			return run.Failf("the lines of %s are not objects with columns; remove source.http.format: ndjson if the page is one JSON document", s.place(1))
		}
		return run.Failf("the rows of %s are not objects with columns; set source.http.items to where the list of objects is", s.place(1))
	}
	for _, name := range s.from.Columns {
		s.addColumn(name)
	}
	s.empty = len(s.sample) == 0
	s.types = typesOf(s.sample, s.index, s.columns)
	return nil
}

func (s *Source) addColumn(name string) {
	if _, known := s.index[name]; !known {
		s.index[name] = len(s.columns)
		s.columns = append(s.columns, name)
	}
}

// Columns are those that the first rows have, and those that the task names. Without any row they are
// not known.
func (s *Source) Columns() mapping.Columns {
	return mapping.Columns{Names: s.columns, Unknown: s.empty}
}

// Types are what the first rows show of the columns; see connector.Typed.
func (s *Source) Types() []check.Column { return s.types }

// Next reads the next row into cells; see connector.Source.
func (s *Source) Next(ctx context.Context, cells []any) (int, error) {
	s.bind(ctx)
	item, err := s.next(ctx)
	if err != nil {
		return 0, err
	}
	if fault := readRow(item, s.index, s.columns, cells); fault != nil {
		return len(item), fault
	}
	return len(item), nil
}

// next returns the next row's JSON, from the sample while that has any.
func (s *Source) next(ctx context.Context) (item []byte, err error) {
	if len(s.sample) > 0 {
		item, s.sample = s.sample[0], s.sample[1:]
		return item, nil
	}
	if item, err = s.read(); err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return item, err
}

// read returns the next row's JSON, from whichever page, and io.EOF after the last.
func (s *Source) read() ([]byte, error) {
	for !s.ended {
		if s.page == nil {
			if err := s.turn(); err != nil {
				return nil, err
			}
			continue
		}
		item, err := s.page.read()
		failed, isFault := errors.AsType[*fault](err)
		if errors.Is(err, errEmpty) && (s.page.answer.StatusCode == http.StatusNoContent || s.pages.counted() && s.pages.number > 1) {
			err = io.EOF // a page without rows, or one behind the last
		}
		if isFault && failed.foundNothing() && !s.isBehindLast(failed.status) {
			err = io.EOF
		}
		switch {
		case isFault && s.page.rows == 0 && s.isBehindLast(failed.status):
			s.page.close()
			s.page, s.ended = nil, true
		case err == nil && s.from.Lines && s.isStray(item):
			return nil, s.fail(fmt.Errorf("has nothing but an error as its line %d: the service seems to say that it failed", s.page.rows))
		case err == nil && s.page.rows == 1 && s.isAgain():
			s.page.close()
			s.page, s.ended = nil, true
		case err == nil:
			s.rows++
			s.breaks = 0
			return item, nil
		case errors.Is(err, io.EOF):
			if err := s.finish(); err != nil {
				return nil, err
			}
		default:
			if err := s.resume(err); err != nil {
				return nil, err
			}
		}
	}
	s.lookBehind()
	if err := s.lost(); err != nil && !s.looking {
		return nil, err
	}
	return nil, io.EOF
}

// firstPage reports whether the first page has not been read to its end.
func (s *Source) firstPage() bool { return s.page != nil && s.pages.number == 1 }

// turn asks for the page that is next.
func (s *Source) turn() error {
	a, err := s.ask(s.pages.url, 0)
	refused, ok := errors.AsType[*refusal](err)
	switch {
	case ok && s.isBehindLast(refused.status):
		s.ended = true
		return nil
	case ok:
		return s.fail(err)
	case err != nil:
		return err
	}
	s.page = s.newPage(a)
	return nil
}

// newPage begins to read an answer.
func (s *Source) newPage(a *http.Response) *page {
	p := newPage(s.reading, a, placesOf(s.from), s.seed)
	if s.pages.counted() {
		p.keeps = min(max(s.pages.asked, keptSums), maxSums)
	}
	return p
}

// ask asks for a page until it comes, or there is no hope. made attempts have failed before.
func (s *Source) ask(u *url.URL, made int) (*http.Response, error) {
	for {
		a, err := s.client.get(s.reading, u, s.accepts())
		made++
		refused, ok := errors.AsType[*refusal](err)
		if !ok {
			return a, err
		}
		if !refused.passing {
			return nil, refused
		}
		if !s.client.rest(s.reading, made, refused.wait) {
			if err := s.reading.Err(); err != nil {
				return nil, err
			}
			if refused.wait > s.client.patience.most {
				refused.why += fmt.Sprintf(", and asks to wait for %s; source.rate makes the task ask more slowly", run.Span(refused.wait))
				return nil, refused
			}
			refused.why += fmt.Sprintf(", %d times in a row", made)
			return nil, refused
		}
	}
}

// accepts is the kind of document that is asked for.
func (s *Source) accepts() string {
	if s.from.Lines {
		return "application/x-ndjson, application/json"
	}
	return "application/json"
}

// resume reads a page again whose connection broke, up to where it had been read.
func (s *Source) resume(err error) error {
	if _, ok := errors.AsType[*broken](err); !ok {
		return s.fail(err)
	}
	before := s.page
	before.close()
	for {
		s.breaks++
		if !s.client.rest(s.reading, s.breaks, 0) {
			return s.fail(&refusal{why: fmt.Sprintf("broke off %d times in a row", s.breaks), passing: true})
		}
		a, err := s.ask(s.pages.url, s.breaks)
		if err != nil {
			return s.fail(err)
		}
		s.page = s.newPage(a)
		for err == nil && s.page.rows < before.rows {
			_, err = s.page.read()
		}
		_, again := errors.AsType[*broken](err)
		switch {
		case err == nil && s.page.sum.Sum64() == before.sum.Sum64():
			return nil
		case err == nil || errors.Is(err, io.EOF):
			return s.fail(&refusal{why: "broke off, and has other rows now", passing: true})
		case !again:
			return s.fail(err)
		}
		s.page.close()
	}
}

// finish learns from a page that has been read what the next one is.
func (s *Source) finish() error {
	p := s.page
	p.close()
	s.page = nil
	p.settle(s.pages.asked)
	s.learnTotal(p)
	s.sure.learn(p, s.pages.number)
	more, err := s.pages.turn(p, s.client, s.rows, s.missing() != nil || s.more().rank > 0, s.complete())
	if err != nil {
		return s.fail(err)
	}
	s.ended = !more
	if more && s.pages.number == 2 {
		if err := s.lookFirst(); err != nil {
			return err
		}
	}
	s.sure.promised = s.pages.promised || s.sure.told.more.rank > 0 || !s.pages.counted() && s.from.Next != nil && s.from.Next.Row == ""
	return nil
}

func (s *Source) learnTotal(p *page) {
	if p.count.rank > guessed && p.count.rows > 0 {
		s.total = p.count.rows
	}
}

// place is how messages name a page.
func (s *Source) place(number int) string {
	return fmt.Sprintf("page %d of %s", number, s.whole())
}

// path is the first page's, without its query.
func (s *Source) path() string {
	path, _, _ := strings.Cut(s.from.Path, "?")
	return path
}

// fail says which page something is wrong with. ctx's error stays what it is.
func (s *Source) fail(err error) error {
	if ctxErr := s.reading.Err(); ctxErr != nil {
		return ctxErr
	}
	items := "source.http.items"
	switch at := s.from.Items; {
	case errors.Is(err, errNoList) && at != "":
		return run.Failf("%s has nothing at %s, where %s says that its list of rows is", s.place(s.pages.number), at, items)
	case errors.Is(err, errOther) && at != "":
		return run.Failf("%s has something at %s that is not a list; correct %s", s.place(s.pages.number), at, items)
	case errors.Is(err, errOther):
		return run.Failf("%s is not a list; set %s to where in it the list of rows is, like data.people, or source.http.format to ndjson if each line is a row", s.place(s.pages.number), items)
	}
	const behind = "; if that means that there is no such page, set source.http.total or source.http.next.pages, by which a run knows the last one"
	way := ""
	if failed, ok := errors.AsType[*fault](err); ok && s.pages.behind(failed.status) {
		way = behind
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		if refused.status > 0 && s.pages.behind(refused.status) {
			way = behind
		}
		return refused.failure(s.place(s.pages.number), refused.why+way)
	}
	return run.Failf("%s %v%s", s.place(s.pages.number), err, way)
}

// Version is not known: what the rows are is the service's.
func (s *Source) Version() (string, error) { return "", nil }

// Skip passes over rows. There is no other way to the page that has the next one than through those
// before it.
func (s *Source) Skip(ctx context.Context, rows int64) error {
	s.bind(ctx)
	for range rows {
		if _, err := s.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// bind lets what waits for the service go when the run ends.
func (s *Source) bind(ctx context.Context) {
	if !s.bound {
		s.bound = true
		context.AfterFunc(ctx, s.stop)
	}
}

// Progress is the part of the rows that has been read, where the service says how many there are, or
// that of the only page, where it says how long that is.
func (s *Source) Progress() (part float64, total int64) {
	if s.page != nil {
		s.learnTotal(s.page)
	}
	read := s.rows - int64(len(s.sample))
	switch {
	case s.total > 0:
		return min(1, float64(read)/float64(s.total)), s.total
	case s.page != nil && s.from.Next == nil && s.page.answer.ContentLength > 0:
		// Of what was taken, the part that was given: the first rows are kept.
		taken := float64(s.page.tokens.InputOffset()) / float64(s.page.answer.ContentLength)
		return min(1, taken*float64(read)/float64(max(1, s.rows))), 0
	case s.page == nil && s.from.Next == nil && s.rows > 0:
		return float64(read) / float64(s.rows), s.rows
	}
	return 0, 0
}

// Close ends what is being asked for.
func (s *Source) Close() error {
	s.stop()
	if s.page != nil {
		s.page.close()
	}
	s.client.close()
	return nil
}
