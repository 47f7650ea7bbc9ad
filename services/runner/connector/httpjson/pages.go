package httpjson

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
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
	// size is how many rows the first page's address asks for, 0 if that is not known, and largest how many
	// a page had.
	size, largest int
	// short: the page that was read last has fewer rows than a page can.
	short bool
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
	p.size, _ = strconv.Atoi(anyParameter(first.RawQuery, sizeNames))
	p.seen[maphash.String(p.seed, first.String())] = true
	return p
}

// counted reports whether pages are found by counting, which ends with a page that has no rows.
func (p *pages) counted() bool { return p.how != nil && p.how.Offset+p.how.Page != "" }

// turn goes on to the page after one that has been read; false says that there is none. rows are
// those of all pages so far; missing says that, by the service's own count, there are more.
func (p *pages) turn(read *page, c *client, rows int64, missing bool) (more bool, err error) {
	if p.how == nil {
		return false, nil
	}
	sum, first := read.sum.Sum64(), p.number == 1
	repeats := !first && sum == p.last
	p.last = sum
	p.largest = max(p.largest, read.rows)
	p.short = read.rows < max(p.largest, p.size)
	if p.empty++; read.rows > 0 {
		p.empty = 0
	}
	promised, ended := p.promise(read)
	if ended || !promised && !(missing && p.how.Page != "" && p.empty <= maxGap) && read.rows == 0 && p.counted() {
		return false, nil
	}
	next, err := p.address(read, c, rows)
	if err != nil {
		return false, err
	}
	if next == nil {
		if promised {
			return false, errors.New("says that there is another page, and not where; correct source.http.next")
		}
		return false, nil
	}
	hash := maphash.String(p.seed, next.String())
	if p.seen[hash] {
		itself := next.String() == p.url.String()
		if !promised && (read.rows == 0 || itself && p.short && !first && !repeats) {
			return false, nil // so some services say that there is none
		}
		return false, errors.New("names as its next page one that has been read already, so that there would be no end")
	}
	p.seen[hash] = true
	if p.empty > maxEmptyPages {
		return false, fmt.Errorf("is one of %d without any row, and still names a next one", p.empty)
	}
	if p.counted() {
		if p.same++; !repeats || read.rows == 0 {
			p.same = 0
		}
		if p.same >= maxSamePages {
			return false, fmt.Errorf("has the same rows as the %d before it; the service seems not to know the parameter %s of source.http.next", p.same, p.how.Offset+p.how.Page)
		}
	}
	p.url = next
	p.number++
	return true, nil
}

// promise is what the page says of whether there is another one, where the task says that it does.
func (p *pages) promise(read *page) (promised, ended bool) {
	if value, there := read.at(p.how.More); there {
		return yes(value), !yes(value)
	}
	if value, there := read.at(p.how.Pages); there {
		if all, ok := whole(value); ok {
			at := int64(p.number)
			if begin, err := p.begin(p.how.Page, 1); err == nil && begin > 1 {
				at += begin - 1
			}
			return at < all, at >= all
		}
	}
	return false, false
}

// behind reports whether a service may say so with a status that there is no page behind the last.
func (p *pages) behind(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusGone, http.StatusRequestedRangeNotSatisfiable, http.StatusUnprocessableEntity:
		return p.counted() && p.number > 1
	}
	return false
}

// address is where the page after the one that was read is, nil for none.
func (p *pages) address(read *page, c *client, rows int64) (*url.URL, error) {
	switch how := p.how; {
	case how.Header:
		return p.follow(nextLink(read.answer.Header.Values("Link")), read, c)
	case how.Link != "":
		value, _ := read.at(how.Link)
		link, ok := address(value)
		if !ok {
			return nil, fmt.Errorf("has at %s something that is not an address; correct source.http.next.link", how.Link)
		}
		return p.follow(link, read, c)
	case how.Row != "":
		if read.rows == 0 {
			return nil, nil
		}
		cursor, ok := scalar(member(read.item, how.Row))
		if !ok || cursor == "" {
			return nil, fmt.Errorf("has no single value at %s of its last row; correct source.http.next.row", how.Row)
		}
		return p.with(how.Cursor, cursor), nil
	case how.Cursor != "":
		value, _ := read.at(how.From)
		cursor, ok := scalar(value)
		switch {
		case !isSomething(value) || cursor == "0": // where a first page begins, no next one does
			return nil, nil
		case !ok:
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
