package httpjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"net/url"
	"strconv"
	"strings"

	"runhook/shared/task"
)

// pages is the way from one page to the next.
type pages struct {
	how *task.NextPage
	// first is the address of the first page, url that of the present one, and number counts them.
	first, url *url.URL
	number     int
	// seen are hashes of the addresses that were asked for.
	seed maphash.Seed
	seen map[uint64]bool
	// empty counts the pages without rows in a row; same those that are like the one before them,
	// whose sum is last.
	empty, same int
	last        uint64
}

func newPages(first *url.URL, how *task.NextPage) pages {
	p := pages{how: how, first: first, url: first, number: 1, seed: maphash.MakeSeed(), seen: map[uint64]bool{}}
	p.seen[maphash.String(p.seed, first.String())] = true
	return p
}

// counted reports whether pages are found by counting, which ends with a page that has no rows.
func (p *pages) counted() bool { return p.how != nil && p.how.Offset+p.how.Page != "" }

// turn goes on to the page after one that has been read; false says that there is none. rows are
// those of all pages so far.
func (p *pages) turn(read *page, c *client, rows int64) (more bool, err error) {
	if p.how == nil || p.counted() && read.rows == 0 {
		return false, nil
	}
	next, err := p.address(read, c, rows)
	if next == nil || err != nil {
		return false, err
	}
	hash := maphash.String(p.seed, next.String())
	if p.seen[hash] {
		return false, errors.New("names as its next page one that has been read already, so that there would be no end")
	}
	p.seen[hash] = true
	if p.empty++; read.rows > 0 {
		p.empty = 0
	}
	if p.empty > maxEmptyPages {
		return false, fmt.Errorf("is one of %d without any row, and still names a next one", p.empty)
	}
	if p.counted() {
		sum := read.sum.Sum64()
		if p.same++; p.number == 1 || sum != p.last {
			p.same = 0
		}
		if p.last = sum; p.same >= maxSamePages {
			return false, fmt.Errorf("has the same rows as the %d before it; the service seems not to know the parameter %s of source.http.next", p.same, p.how.Offset+p.how.Page)
		}
	}
	p.url = next
	p.number++
	return true, nil
}

// address is where the page after the one that was read is, nil for none.
func (p *pages) address(read *page, c *client, rows int64) (*url.URL, error) {
	switch how := p.how; {
	case how.Header:
		return p.follow(nextLink(read.answer.Header.Values("Link")), read, c)
	case how.Link != "":
		link, ok := read.next.(string)
		if !ok && isSomething(read.next) {
			return nil, fmt.Errorf("has at %s something that is not an address; correct source.http.next.link", how.Link)
		}
		return p.follow(link, read, c)
	case how.Cursor != "":
		if !isSomething(read.next) {
			return nil, nil
		}
		cursor, ok := scalar(read.next)
		if !ok {
			return nil, fmt.Errorf("has at %s something that is not a single value; correct source.http.next.from", how.From)
		}
		return p.with(how.Cursor, cursor), nil
	case how.Offset != "":
		begin, err := p.begin(how.Offset, 0)
		return p.with(how.Offset, strconv.FormatInt(begin+rows, 10)), err
	}
	begin, err := p.begin(p.how.Page, 1)
	return p.with(p.how.Page, strconv.FormatInt(begin+int64(p.number), 10)), err
}

// follow resolves a link against the address that its page came from, and refuses one that leads out of
// the connection's url.
func (p *pages) follow(link string, read *page, c *client) (*url.URL, error) {
	if link, _, _ = strings.Cut(strings.TrimSpace(link), "#"); link == "" {
		return nil, nil
	}
	next, err := read.answer.Request.URL.Parse(sendable(link))
	if err != nil {
		return nil, errors.New("names a next page whose address cannot be read")
	}
	if next.Scheme == "http" && c.to.URL.Scheme == "https" && (next.Port() == "" || next.Port() == "80") {
		// A service behind a proxy may not know that it is called by https.
		secure := *next
		secure.Scheme, secure.Host = "https", strings.TrimSuffix(next.Host, ":80")
		if c.holds(&secure) {
			next = &secure
		}
	}
	if !c.holds(next) {
		return nil, errors.New("names a next page outside the url of the connection, where its credentials must not go; correct the url in the connections file")
	}
	return next, nil
}

// begin is where the first page says that counting begins.
func (p *pages) begin(name string, otherwise int64) (int64, error) {
	given := parameter(p.first.RawQuery, name)
	if given == "" {
		return otherwise, nil
	}
	begin, err := strconv.ParseInt(given, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("cannot be counted on: path gives the parameter %s something that is not a whole number", name)
	}
	return begin, nil
}

// with is the first page's address with one parameter set.
func (p *pages) with(name, value string) *url.URL {
	next := *p.first
	next.RawQuery = withParameter(next.RawQuery, name, value)
	return &next
}

// isSomething reports whether a page has a value at a place that names the next page.
func isSomething(token json.Token) bool { return token != nil && token != "" && token != false }

// scalar is a value as text.
func scalar(token json.Token) (string, bool) {
	switch v := token.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// whole is a number of rows, 0 for anything else.
func whole(token json.Token) int64 {
	text, _ := scalar(token)
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 0 {
		return 0
	}
	return number
}
