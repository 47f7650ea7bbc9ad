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
	// asked is how many rows the first page's address asks for, size how many of them the service says that it
	// gives; 0 if that is not known. largest is how many a page had, and filled is the number of the last page that
	// had any.
	asked, size, largest, filled int
	// sums are of the rows of that last page, and before of those of the page before it.
	sums, before []uint64
	// all is how many pages there are, as the last one said that did; 0 for none.
	all int64
	// beyond: the service has named a next page that begins behind a row which has not come, or has more rows if it
	// is asked for pages of the size that it gives.
	beyond bool
	// short: the page that was read last has fewer rows than a page can.
	short bool
	// stuck: a full page names itself as the next one.
	stuck bool
	// promised: by the task's more or pages, the page that was read last is not the last.
	promised bool
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
	asked, _ := anyNumber(first.RawQuery, sizeNames)
	p.asked, p.size = int(asked), int(asked)
	p.seen[maphash.String(p.seed, first.String())] = true
	return p
}

// counted reports whether pages are found by counting, which ends with a page that has no rows.
func (p *pages) counted() bool { return p.how != nil && p.how.Offset+p.how.Page != "" }

// turn goes on to the page after one that has been read; false says that there is none. rows are
// those of all pages so far; missing says that, by the service's own count, there are more, and complete that these are
// all.
func (p *pages) turn(read *page, c *client, rows int64, missing, complete bool) (more bool, err error) {
	sum, first := read.sum.Sum64(), p.number == 1
	repeats := !first && sum == p.last
	p.last = sum
	p.measure(read)
	if p.how == nil {
		return false, nil
	}
	promised, ended := p.promise(read)
	p.promised = promised
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
		// So some services say that there is none.
		itself := next.String() == p.url.String() && !first && !repeats
		if complete || !promised && (read.rows == 0 || itself) {
			p.stuck = itself && !p.short
			return false, nil
		}
		return false, errors.New("names as its next page one that has been read already, so that there would be no end")
	}
	if p.seen[hash] = true; len(p.seen) > maxPages {
		return false, fmt.Errorf("is one of more than %d", maxPages)
	}
	p.step(next, rows)
	if p.empty > maxEmptyPages {
		return false, fmt.Errorf("is one of %d without any row, and still names a next one", p.empty)
	}
	if p.counted() {
		if p.same++; !repeats || read.rows == 0 {
			p.same = 0
		}
		if p.same >= maxSamePages && p.number > p.same+1 {
			return false, fmt.Errorf("has the same rows as the %d before it, and those before had others; the service seems to give its last page again: set source.http.total or source.http.next.pages, by which a run knows the last one", p.same)
		}
		if p.same >= maxSamePages {
			return false, fmt.Errorf("has the same rows as the %d before it; the service seems not to know the parameter %s of source.http.next", p.same, p.how.Offset+p.how.Page)
		}
	}
	p.url = next
	p.number++
	return true, nil
}

// measure looks at how many rows a page has.
func (p *pages) measure(read *page) {
	if told := read.told.size; told > 0 && told < p.asked {
		p.size = told
	}
	p.largest = max(p.largest, read.rows)
	p.short = read.rows < max(p.largest, p.size)
	if p.empty++; read.rows > 0 {
		p.empty = 0
		p.filled, p.sums, p.before = p.number, read.sums, p.sums
	}
}

// step notes that a next page which the service names begins behind a row that has not come: it counts by the
// number of rows that it was asked for.
func (p *pages) step(next *url.URL, rows int64) {
	begin, _ := anyNumber(p.first.RawQuery, rowNames)
	at, ok := anyNumber(next.RawQuery, rowNames)
	if ok && p.asked > 0 && p.how.Row == "" && at > begin+rows && (at-begin)%int64(p.asked) == 0 {
		p.beyond = true
	}
}

// capped reports whether the service gives fewer rows a page than were asked for, so that some are left out if it
// counts pages by the number that was asked for.
func (p *pages) capped() bool {
	return p.largest < p.asked && (p.beyond || p.how == nil && p.size < p.asked && p.largest >= p.size)
}

// behindSmaller is the page behind the last one with rows, if pages had as many rows as the largest; nil where pages are
// not counted, or had as many as were asked for.
func (p *pages) behindSmaller() *url.URL {
	if p.how == nil || p.how.Page == "" || p.largest == 0 || p.largest >= p.asked {
		return nil
	}
	begin, err := p.begin(p.how.Page, 1)
	if err != nil {
		return nil
	}
	name, _ := anyParameter(p.first.RawQuery, sizeNames)
	u := p.with(name, strconv.Itoa(p.largest))
	u.RawQuery = withParameter(u.RawQuery, p.how.Page, strconv.FormatInt(begin+int64(p.filled), 10))
	return u
}

// promise is what the page says of whether there is another one, where the task says that it does. Pages behind one
// that says how many there are need not say so.
func (p *pages) promise(read *page) (promised, ended bool) {
	if value, there := read.at(p.how.More); there {
		return yes(value), !yes(value)
	}
	at := int64(p.number)
	if begin, err := p.begin(p.how.Page, 1); err == nil && begin > 1 {
		at += begin - 1
	}
	value, _ := read.at(p.how.Pages)
	if all, ok := whole(value); ok {
		p.all = all
		return at < all, at >= all
	}
	return at < p.all, false
}

// behind reports whether a service may say with a status, or 0 for none of HTTP's, that there is no page behind the last.
func (p *pages) behind(status int) bool {
	switch status {
	case 0, http.StatusBadRequest, http.StatusNotFound, http.StatusGone, http.StatusRequestedRangeNotSatisfiable, http.StatusUnprocessableEntity:
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
		if !leads(link) {
			return nil, nil
		}
		return p.follow(link, read, c)
	case how.Row != "":
		if read.rows == 0 {
			return nil, nil
		}
		cursor, ok := scalar(member(members(read.item), how.Row))
		if !ok || cursor == "" {
			return nil, fmt.Errorf("has no single value at %s of its last row; correct source.http.next.row", how.Row)
		}
		return p.with(how.Cursor, cursor), nil
	case how.Cursor != "":
		value, _ := read.at(how.From)
		cursor, ok := scalar(value)
		switch {
		case !leads(value):
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
	if strays(next, p.first) {
		return nil, errors.New("names a next page whose path has a slash, a backslash or dots in escapes, which the service may take for another path")
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
