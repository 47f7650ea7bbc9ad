package httpjson

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"strings"

	"runhook/services/runner/row"
)

// The bounds of what one page may take: maxItem bounds a row, and everything that is not the list
// of rows; maxPage the page. maxPlace bounds how long the names together are that lead to a member of which anything is
// looked at.
const (
	maxItem  = 16 << 20
	maxPage  = 4 << 30
	maxPlace = 1 << 10
)

// The ways in which a document is not a page.
var (
	errEmpty   = errors.New("is empty")
	errSyntax  = errors.New("is not valid JSON")
	errHTML    = errors.New("is not JSON but a web page; perhaps it asks to log in, or the url or path is that of a page for people")
	errTooLong = errors.New("has a row, or something beside its rows, of more than 16 MiB")
	errHuge    = errors.New("is longer than 4 GiB; ask the service for smaller pages, with a parameter in path")
	errTwice   = errors.New("has its list of rows twice")
	errNoList  = errors.New("has no list of rows")
	errOther   = errors.New("has something that is not a list")
	errBehind  = errors.New("has something behind the end of its JSON")
	errDeep    = fmt.Errorf("has something beside its rows that is nested deeper than %d levels, or has more than %d values", row.MaxDepth, row.MaxValues)
)

// page is one document that is read as it comes: what is before the list of rows, the rows one by
// one, and what is behind it.
type page struct {
	answer *http.Response
	in     *bounded
	tokens *json.Decoder
	places places
	stack  []frame
	// beside is how much of the document is not the list of rows, up to the byte passed.
	beside, passed int64
	// inItems: the list has begun and not ended. listed: it has begun. begun: the document has.
	inItems, listed, begun bool
	// found is what stands at places, where anything does.
	found map[string]any
	// count is what the page says of the number of all rows, told of other pages.
	count count
	told  told
	// aside is what an object without the list tells of the reason.
	aside aside

	// rows counts the rows that were read; sum is of all their bytes.
	rows int
	sum  maphash.Hash
	item json.RawMessage
	// sums are of the first rows, as many as keeps.
	sums  []uint64
	keeps int
}

// frame is an object or a list that has begun.
type frame struct {
	object bool
	// key is the name of the object's member that is being read; valueNext: its value is to come.
	key       string
	valueNext bool
	// place names the frame if placed: it is within objects alone, and maxPlace suffices.
	place  string
	placed bool
	// telling: services may write into it what they tell of other pages. noRows: it is within a list of no rows.
	telling, noRows bool
}

func newPage(ctx context.Context, a *http.Response, where places, seed maphash.Seed) *page {
	p := &page{answer: a, places: where, in: &bounded{ctx: ctx, in: a.Body}, found: map[string]any{}}
	p.count.learnHeaders(a, where.total)
	p.hearHeaders(a.Header)
	p.sum.SetSeed(seed)
	text := bufio.NewReader(p.in)
	p.in.left = maxItem
	if mark, err := text.Peek(3); err == nil && bytes.Equal(mark, []byte("\xEF\xBB\xBF")) {
		_, _ = text.Discard(3) // what was peeked is there
	}
	p.tokens = json.NewDecoder(text)
	p.tokens.UseNumber()
	return p
}

// read returns the next row's JSON, which is valid until the next call, and io.EOF when the whole
// document has been read.
func (p *page) read() ([]byte, error) {
	if p.places.lines {
		return p.line()
	}
	if !p.inItems {
		if err := p.walk(); err != nil {
			return nil, err
		}
	}
	p.in.left = maxItem
	if p.tokens.More() {
		if err := p.tokens.Decode(&p.item); err != nil {
			return nil, p.explain(err)
		}
		p.take()
		return p.item, nil
	}
	if _, err := p.tokens.Token(); err != nil {
		return nil, p.explain(err)
	}
	p.inItems = false
	p.passed = p.tokens.InputOffset()
	p.pop()
	return nil, p.walk()
}

// take counts a row.
func (p *page) take() {
	_, _ = p.sum.Write(p.item) // a hash cannot fail
	if p.rows++; p.rows <= p.keeps {
		p.sums = append(p.sums, maphash.Bytes(p.sum.Seed(), p.item))
	}
}

// line returns the next row of a page that has no list around its rows.
func (p *page) line() ([]byte, error) {
	p.in.left = maxItem
	err := p.tokens.Decode(&p.item)
	switch {
	case errors.Is(err, io.EOF) && p.in.err == nil:
		return nil, io.EOF
	case err != nil:
		return nil, p.explain(err)
	}
	p.take()
	return p.item, nil
}

// walk reads up to the list of rows, and returns nil there; without one, or behind it, up to the end
// of the document, which is io.EOF.
func (p *page) walk() error {
	for {
		p.in.left = maxItem
		token, err := p.tokens.Token()
		if errors.Is(err, io.EOF) && p.in.err == nil && len(p.stack) == 0 {
			return p.end()
		}
		at := p.tokens.InputOffset()
		if p.beside, p.passed = p.beside+at-p.passed, at; p.beside > maxItem {
			return errTooLong
		}
		if err != nil {
			return p.explain(err)
		}
		top := p.top()
		delimiter, isDelimiter := token.(json.Delim)
		switch {
		case isDelimiter && (delimiter == '}' || delimiter == ']'):
			p.pop()
			continue
		case top != nil && top.object && !top.valueNext:
			top.key, top.valueNext = token.(string), true
			if err := p.note(); err != nil {
				return err
			}
			continue
		}
		if top == nil && p.begun {
			return errBehind
		}
		p.begun = true
		path, ok := p.path()
		if isDelimiter && len(p.stack) >= row.MaxDepth {
			return errDeep
		}
		if ok && path == p.places.items {
			if p.listed {
				return errTwice
			}
			p.listed = true
			p.aside.null = token == nil
			if delimiter != '[' && token != nil {
				return errOther
			}
		}
		p.aside.see(top, delimiter, path, p.places.items)
		switch {
		case isDelimiter:
			p.push(delimiter == '{', path, ok)
			if ok && path == p.places.items {
				p.inItems = true
				return nil
			}
		case top != nil:
			top.valueNext = false
		}
	}
}

// end is what the end of the document means.
func (p *page) end() error {
	failed := p.failed()
	switch {
	case !p.begun:
		return errEmpty
	case failed != nil:
		return failed
	case p.listed, p.count.rank > 0 && p.count.rows == 0, p.aside.omits():
		return io.EOF
	}
	return errNoList
}

// failed is what the page says of its fault, nil for none. What may speak of something else counts where there are no
// rows.
func (p *page) failed() *fault {
	found := p.told.verdict.sum()
	found.listed = p.listed && !p.aside.null
	if found.rank > guessed || found.rank > 0 && p.rows == 0 {
		return &found
	}
	return nil
}

// note reads the value of a member whose name has been read, if it stands at a place or says something of
// the page.
func (p *page) note() error {
	path, ok := p.path()
	if !ok || path == p.places.items || strings.HasPrefix(p.places.items, path+".") {
		return nil
	}
	name := p.top().key
	tells := p.tells(path, name)
	if !p.places.has(path) && !tells {
		return nil
	}
	var text json.RawMessage
	p.in.left = maxItem
	if err := p.tokens.Decode(&text); err != nil {
		return p.explain(err)
	}
	if row.Exceeds(text, row.MaxValues) {
		return errDeep
	}
	value := parse(text)
	p.top().valueNext = false
	if !p.places.has(path) {
		p.aside.within(value, path, p.places.items)
		p.hear(path, name, value)
		return nil
	}
	if path == p.places.total {
		p.count.learn(value, path, declared)
	}
	p.found[path] = value
	return nil
}

// at is what the page has at a place, or a header of its answer.
func (p *page) at(place string) (value any, there bool) {
	if value, there = p.found[place]; !there && strings.Contains(place, "-") {
		header := p.answer.Header.Get(place)
		return header, header != ""
	}
	return value, there
}

func (p *page) top() *frame {
	if len(p.stack) == 0 {
		return nil
	}
	return &p.stack[len(p.stack)-1]
}

// pop ends the object or list that was begun last.
func (p *page) pop() {
	p.stack = p.stack[:len(p.stack)-1]
	if top := p.top(); top != nil {
		top.valueNext = false
	}
}

// push begins an object or a list at a path, placed if that is known.
func (p *page) push(object bool, path string, placed bool) {
	f := frame{object: object, place: path, placed: placed, telling: true}
	if top := p.top(); top != nil {
		f.telling = placed && top.telling && (strings.HasPrefix(p.places.items, path+".") || holders.MatchString(fold(top.key)))
		f.noRows = top.noRows || top.object && noRows.MatchString(top.key)
	}
	p.stack = append(p.stack, f)
}

// path names the value that begins; false within a list, where nothing is looked for, and behind names that are too long.
func (p *page) path() (string, bool) {
	switch top := p.top(); {
	case top == nil:
		return "", true
	case !top.object || !top.placed || len(top.place)+len(top.key) > maxPlace:
		return "", false
	case len(p.stack) == 1:
		return top.key, true
	default:
		return top.place + "." + top.key, true
	}
}

// explain says what is wrong with the document, where it is not that it could not be read.
func (p *page) explain(err error) error {
	switch {
	case p.in.err != nil:
		return p.in.err
	case strings.Contains(p.answer.Header.Get("Content-Type"), "html") || p.in.beginsLikeHTML():
		return errHTML
	}
	return errSyntax
}

// close ends the request.
func (p *page) close() { p.answer.Body.Close() }

// bounded reads a body no further than is allowed, and not when its run has ended.
type bounded struct {
	ctx context.Context
	in  io.Reader
	// left is what may still be read of this row, total is what was read.
	left  int
	total int64
	begin []byte
	// err is why reading ended before the body did.
	err error
}

func (b *bounded) Read(p []byte) (int, error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case b.left <= 0:
		b.err = errTooLong
		return 0, b.err
	case b.total > maxPage:
		b.err = errHuge
		return 0, b.err
	case b.ctx.Err() != nil:
		b.err = b.ctx.Err()
		return 0, b.err
	}
	n, err := b.in.Read(p[:min(len(p), b.left)])
	b.left -= n
	b.total += int64(n)
	if missing := 64 - len(b.begin); missing > 0 {
		b.begin = append(b.begin, p[:min(n, missing)]...)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = &broken{err}
		err = b.err
	}
	return n, err
}

func (b *bounded) beginsLikeHTML() bool {
	return bytes.HasPrefix(bytes.TrimSpace(b.begin), []byte("<"))
}

// broken is a body that the network ended.
type broken struct{ cause error }

func (b *broken) Error() string { return "broke off" }

func (b *broken) Unwrap() error { return b.cause }
