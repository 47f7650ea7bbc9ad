package httpjson

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"runhook/shared/task"
)

// word is what a member of a page, or a header, tells of the other pages by its name.
type word int

const (
	_            word = iota
	allRows           // how many rows there are
	someRows          // how many rows there are, or how many the page has
	filteredRows      // how many of all rows are asked for, or how many are not
	another           // whether there is another page
	final             // whether there is none, or the last one's number
	following         // where the next page is
	allPages          // how many pages there are
	pageSize          // how many rows a page has at most
	pageBegin         // the row that the page begins with
	faulty            // what failed
	described         // that in words
	refused           // how many rows, or which ones, failed
	succeeded         // whether nothing did
	partly            // whether that is not all
	answered          // how the page is answered, or what an object is like
	reported          // that in words
)

// words are by name, as fold writes it.
var words = map[string]word{}

func init() {
	for word, names := range map[word]string{
		allRows:      "odatacount __count total totalcount totalresults totalrecords totalelements totalsize totalitems totalrows totalhits totalentries recordstotal numfound nbhits",
		someRows:     "count recordcount rowcount itemcount resultcount",
		filteredRows: "recordsfiltered filteredrecords filteredcount countfiltered filteredtotal totalfiltered filteredrows filteredresults filtereditems itotaldisplayrecords",
		another: "hasmore hasnext hasnextpage hasmorepages hasmoreitems hasmoreresults hasmorerecords hasmoredata more moreresults morerecords moreitems moreavailable " +
			"moreresultsavailable morerecordsavailable moreitemsavailable moredataavailable exceededtransferlimit properties.exceededtransferlimit truncated istruncated incompleteresults " +
			"remaining remainingitemcount remainingcount remainingitems remainingrows remainingrecords remainingresults",
		final: "last islast lastpage islastpage done isdone complete iscomplete completed finished isfinished eof iseof endofrecords endofstream endoflist",
		following: "odatanextlink __next next nextpage nextlink nexturl nexturi nexthref nextpageurl nextpageuri nextpagelink nextpagetoken nextpagecursor nexttoken nextcursor " +
			"nextmarker nextoffset nextstart nextskip nextindex nextpagenumber nextrecordsurl nextresults nextcontinuationtoken continuationtoken resumptiontoken lastevaluatedkey continue cursor",
		allPages:  "totalpages totalpagecount pages pagecount pagestotal numpages numberofpages maxpage maxpages totalpage pagetotal nbpages wptotalpages",
		pageSize:  "limit pagesize perpage pagelimit maxresults",
		pageBegin: "offset start startat startindex skip",
		faulty:    "error errors fault faults exception exceptions err errs iserror haserror haserrors timedout partialresults partialresult partialresponse ispartial ispartialresult",
		refused:   "failed failures failedcount failurecount numfailed failedrows failedrecords faileditems rejected rejectedcount numrejected rejectedrows rejectedrecords errorcount numerrors totalerrors totalfailed shards.failed",
		succeeded: "ok success issuccess succeeded successful issuccessful",
		partly:    "partial incomplete",
		answered:  "status statuscode code resultcode returncode retcode responsecode respcode resultstatus subcode",
		reported:  "message msg detail reason resultmsg resultmessage statusmessage returnmsg retmsg responsemessage responsemsg",
	} {
		for name := range strings.FieldsSeq(names) {
			words[name] = word
		}
	}
	for _, stem := range []string{"error", "err", "fault", "exception"} {
		for _, end := range strings.Fields("code codes no number type list info details") {
			words[stem+end] = faulty
		}
		for _, end := range strings.Fields("message messages msg text string description desc detail reason") {
			words[stem+end] = described
		}
	}
}

// wordAt is that of a member at a place. held: its name counts in the object that it stands in, and not elsewhere.
func wordAt(where, name string) (word word, held bool) {
	if before, ok := strings.CutSuffix(where, "."+name); ok {
		if word, held = words[fold(lastName(before))+"."+fold(name)]; held {
			return word, true
		}
	}
	return words[fold(name)], false
}

// holders are objects beside the list of rows, in which services write what they tell of the pages.
var holders = regexp.MustCompile(`meta|page|paging|pagin|link|navig|cursor|^(result|list|search|query)?info$|^hits$|^resultset$|^(response)?(header|status)$`)

// standards are names that mean nothing else.
var standards = []string{"odatacount", "__count", "odatanextlink", "__next"}

// others are names that tell of other pages, or of what the service was asked for, or may ask.
var others = []string{"done", "complete", "completed", "finished", "remaining"}

// fold is a name in lower case without what it may be written with: has_more, hasMore and Has-More are one.
func fold(name string) string {
	letters := strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
	if strings.HasPrefix(name, "__") {
		return "__" + letters
	}
	return letters
}

// sign is where a page says that there are more rows behind it.
type sign struct {
	// rank is standard if it says nothing else, guessed if it may, 0 for no sign.
	rank  rank
	where string
	// next is what source.http.next would be, where that can be told.
	next string
	// number is that of the next page, or of the row with which it begins, 0 if it does not say.
	number int64
}

// told is what a page says of the other pages, at places that are not the task's.
type told struct {
	// any: it says something, if only that there is no other page.
	any  bool
	more sign
	// denied: it says that it is the last page.
	denied bool
	// pages is how many pages there are.
	pages count
	// size is how many rows a page has at most, 0 if it does not say; begins: it says with which row it begins.
	size   int
	begins bool
	// some are numbers of rows that may be those of all.
	some []count
	// filtered is how many of all rows are asked for.
	filtered count
	// verdict is whether it says that it failed.
	verdict verdict
}

// maxSome bounds how many such numbers a page may have.
const maxSome = 100

// tells reports whether a member says something of the pages by its name, and stands where services write that.
func (p *page) tells(path, name string) bool {
	word, held := wordAt(path, name)
	if word == 0 && !isLinks(name) || p.places.below(path) {
		return false
	}
	if held {
		return p.stack[len(p.stack)-2].telling
	}
	return p.top().telling
}

func isLinks(name string) bool { return fold(name) == "links" || fold(name) == "link" }

// hear takes what a member, or a header, says.
func (p *page) hear(where, name string, value any) {
	if len(where) > maxPlace {
		return
	}
	rank, folded := guessed, fold(name)
	if slices.Contains(standards, folded) {
		rank = standard
	}
	word, _ := wordAt(where, name)
	number, isWhole := whole(value)
	surely := sign{rank: standard, where: where}
	if slices.Contains(others, folded) {
		surely.rank = guessed
	}
	p.told.any = p.told.any || word != 0 && word < pageSize
	p.told.verdict.hear(where, word, value)
	switch object, _ := value.(map[string]any); {
	case holders.MatchString(folded) && object != nil:
		for _, one := range slices.Sorted(maps.Keys(object)) {
			p.hear(where+"."+one, one, object[one])
		}
	case p.places.total == task.NoTotal:
	case isLinks(name) && object == nil, word == following:
		p.hearNext(where, value, rank)
	case word == allRows:
		p.count.learn(value, where, rank)
	case word == someRows && isWhole && len(p.told.some) < maxSome:
		p.told.some = append(p.told.some, count{guessed, number, where})
	case word == filteredRows && isWhole:
		p.told.filtered = count{guessed, number, where}
	case word == another:
		text, _ := scalar(value)
		switch _, isNumber := value.(json.Number); {
		case value != nil && !yes(value):
			p.told.denied = true
		case value == true, isNumber, slices.Contains([]string{"true", "yes", "y", "t", "1"}, strings.ToLower(text)):
			p.sign(surely)
		case isSomething(value):
			p.sign(sign{rank: guessed, where: where})
		}
	case word == final && (value == true || value == "true"):
		p.told.denied = true
	case word == final && (value == false || value == "false"):
		p.sign(surely)
	case (word == allPages || folded == "lastpage") && isWhole:
		p.told.pages = count{rank, number, where}
	case word == pageSize && isWhole:
		p.told.size = int(number)
	case word == pageBegin && isWhole:
		p.told.begins = true
	case folded == "offset": // some services call a cursor so, and leave it out at the end
		p.hearNext(where, value, guessed)
	}
}

// hearNext takes a value that may be where the next page is, or a list of links.
func (p *page) hearNext(where string, value any, rank rank) {
	link, isLink := address(value)
	_, isScalar := scalar(value)
	number, _ := whole(value)
	switch object, isObject := value.(map[string]any); {
	case !isLink && isObject && !slices.ContainsFunc(slices.Collect(maps.Values(object)), isSomething):
	case !isLink && !isScalar:
		p.sign(sign{rank: rank, where: where})
	case !isLink && leads(value):
		p.sign(sign{rank: rank, where: where, number: number})
	case isLink && leads(link):
		found := sign{rank: rank, where: where}
		if to, err := p.answer.Request.URL.Parse(sendable(link)); err == nil && strings.ContainsAny(link, "/?") {
			if to.String() == p.answer.Request.URL.String() {
				return // itself
			}
			if found.number, _ = anyNumber(to.RawQuery, pageNames); found.number == 0 {
				found.number, _ = anyNumber(to.RawQuery, rowNames)
			}
			if found.next = "{link: " + where + "}"; strings.HasPrefix(where, "@") {
				found.next = `{link: "` + where + `"}`
			}
		}
		p.sign(found)
	}
}

// sign keeps the surest of the signs, of equal ones the first that says how the next page is found.
func (p *page) sign(found sign) {
	if has := p.told.more; found.rank > has.rank || found.rank == has.rank && has.next == "" && found.next != "" {
		p.told.more = found
	}
}

// hearHeaders takes what the headers of an answer say of the pages.
func (p *page) hearHeaders(header http.Header) {
	if p.places.total != task.NoTotal && nextLink(header.Values("Link")) != "" && !p.places.header {
		p.sign(sign{rank: standard, where: "a Link header with rel=next", next: "{header: true}"})
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		short, extra := strings.CutPrefix(name, "X-")
		short, paging := strings.CutPrefix(short, "Pagination-")
		ofThisPage := !paging && (short == "Count" || short == "Page-Count")
		switch word := words[fold(short)]; {
		case p.places.hasHeader(name) || ofThisPage || word >= faulty || !extra && !paging:
			continue
		case strings.HasPrefix(short, "Ms-Continuation") && p.places.total != task.NoTotal:
			p.sign(sign{rank: standard, where: name})
		}
		p.hear(name, short, header.Get(name))
		if words[fold(short)] == allPages && p.told.pages.where == name {
			p.told.pages.rank = standard
		}
		var object map[string]any
		if fold(short) == "pagination" {
			object = members([]byte(header.Get(name))) // without an object it says nothing
		}
		for _, one := range slices.Sorted(maps.Keys(object)) {
			p.hear(name, one, object[one])
		}
	}
}

// settle makes the number of all rows of one that may be that of the page. asked is how many rows a page was
// asked to have.
func (p *page) settle(asked int) {
	if filtered := p.told.filtered; filtered.rank > 0 && filtered.rows >= int64(p.rows) && p.count.rank < declared {
		filtered.rank = max(filtered.rank, p.count.rank)
		p.count = filtered
	}
	if p.told.begins && p.told.size == 0 {
		return // such a number is how many rows were asked for, in several services
	}
	for _, some := range p.told.some {
		if p.rows > 0 && some.rows > int64(p.rows) && some.rows != int64(asked) && some.rows != int64(p.told.size) {
			p.count.learn(strconv.FormatInt(some.rows, 10), some.where, guessed)
		}
	}
}
