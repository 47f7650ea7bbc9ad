package imissite

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Query is an IQA.
type Query struct {
	// Path is like $/Membership/Lapsed.
	Path    string
	Columns []Column
	Prompts []Prompt
	// Count is the number of rows without any prompt, and Row gives the cells of one, from 0: nil,
	// bool, int, int64, string, json.Number, []byte, Wrapped or Absent.
	Count int
	Row   func(i int) []any
	// NoREST: it is not available through the REST API.
	NoREST bool
	// Working: it is not published. Services that run it do not see it, and the list of documents does.
	Working bool
	// Sort are the columns of the IQA's saved order, for pages alone: rows that are equal in all of them come in
	// another order on each page. Without it rows are as Row gives them.
	Sort []string
	// Total, where it is set, is what its pages say instead of how many rows there are.
	Total *int
	// Cached: pages are made once and then kept, as with iMIS's own option of that name.
	Cached bool
}

// Column is one column of an IQA.
type Column struct {
	// Name is its alias: the member of each row.
	Name string
	// Type is iMIS's name of its type: String, Int32, Decimal, Boolean, DateTime, Byte[].
	Type string
}

// Prompt is a filter of an IQA for which it asks.
type Prompt struct {
	// Property is that of the filter, and Column the column that is compared.
	Property, Column string
	// Label is the filter's Search Label. If it has one, that is its only name at /api/query.
	Label    string
	Required bool
	// Default is what is compared without a value; empty means that all rows pass.
	Default string
	// Contains compares parts, and AtLeast passes values that come after or are equal; otherwise they must be equal.
	Contains, AtLeast bool
}

// Wrapped is a value with its type beside it: {"$type":"System.Int32","$value":65}.
type Wrapped struct {
	Type  string `json:"$type"`
	Value any    `json:"$value"`
}

// Absent is a value that is left out of its row.
type Absent struct{}

// runQuery is GET /api/query: prompts by name, rows flat.
func (s *Site) runQuery(w http.ResponseWriter, r *http.Request) {
	request, ok := s.page(w, r, "queryname", "limit", "offset")
	if !ok {
		return
	}
	values := make([]string, len(request.query.Prompts))
	for name, given := range request.rest {
		i := slices.IndexFunc(request.query.Prompts, func(p Prompt) bool { return strings.EqualFold(cmp.Or(p.Label, p.Property), name) })
		// That an unknown name is refused is inferred; a site that ignored it would answer all rows.
		if i < 0 || len(given) > 1 {
			Refuse(w, http.StatusBadRequest, "The request is invalid.")
			return
		}
		values[i] = given[0]
	}
	// Operators before a value are documented for entities; that they work here is inferred.
	request.answer(s, w, values, true, appendFlatRow)
}

// runIQA is GET /api/iqa: prompts by position, rows as lists of properties.
func (s *Site) runIQA(w http.ResponseWriter, r *http.Request) {
	request, ok := s.page(w, r, "queryname", "limit", "offset", "parameter")
	if !ok {
		return
	}
	if len(request.rest) > 0 || len(request.positional) > len(request.query.Prompts) {
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	}
	values := make([]string, len(request.query.Prompts))
	copy(values, request.positional)
	request.answer(s, w, values, false, appendEntityRow)
}

// pageRequest is what a request for a page says.
type pageRequest struct {
	query         *Query
	offset, limit int
	names         []string
	positional    []string
	rest          url.Values
	key           string
}

// page reads the parts that both services share. known are the names that are no prompts.
func (s *Site) page(w http.ResponseWriter, r *http.Request, known ...string) (p pageRequest, ok bool) {
	p, ok = readPage(r, known...)
	if !ok || len(p.names) != 1 {
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return p, false
	}
	p.query = s.query(p.names[0])
	switch {
	case p.query == nil:
		// No answer for a path that does not exist is documented: inferred.
		Refuse(w, http.StatusNotFound, "The query does not exist.")
		return p, false
	case p.query.NoREST:
		notImplemented(w, "Operation not implemented")
		return p, false
	}
	return p, true
}

// readPage reads what every request for a page may say, and puts the rest aside. It is false where that is
// not as it must be.
func readPage(r *http.Request, known ...string) (p pageRequest, ok bool) {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return p, false
	}
	p.rest, p.key = url.Values{}, r.URL.Path+"?"+given.Encode()
	fixed := map[string][]string{}
	for name, values := range given {
		if lower := strings.ToLower(name); slices.Contains(known, lower) {
			fixed[lower] = append(fixed[lower], values...)
		} else {
			p.rest[name] = values
		}
	}
	number := func(name string, fallback, least, most int) (n int) {
		switch len(fixed[name]) {
		case 0:
			return fallback
		case 1:
			if n, err = strconv.Atoi(fixed[name][0]); err == nil && n >= least && n <= most {
				return n
			}
		}
		ok = false
		return 0
	}
	ok = true
	p.offset = number("offset", 0, 0, 1<<31-1)
	p.limit = number("limit", defaultLimit, 1, MaxLimit)
	p.positional = fixed["parameter"]
	p.names = fixed["queryname"]
	return p, ok
}

// rowWriter appends row i of a query as JSON.
type rowWriter func(to []byte, q *Query, i int) []byte

// answer writes the page of the rows that pass the prompts' values.
func (p pageRequest) answer(s *Site, w http.ResponseWriter, values []string, operators bool, write rowWriter) {
	s.mu.Lock()
	p.limit = min(p.limit, s.pageLimit)
	kept, cached := s.pages[p.key]
	s.mu.Unlock()
	if !cached || !p.query.Cached {
		rows, problem := p.query.matching(values, operators)
		if problem != "" {
			Refuse(w, http.StatusBadRequest, "%s", problem)
			return
		}
		p.query.sort(rows, p.offset)
		kept = p.page(len(rows), func(to []byte, i int) []byte { return write(to, p.query, rows[i]) })
		if p.query.Cached {
			s.mu.Lock()
			s.pages[p.key] = kept
			s.mu.Unlock()
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(kept)))
	_, _ = w.Write(kept)
}

// page writes the page of so many items into its envelope.
func (p pageRequest) page(total int, write func(to []byte, i int) []byte) []byte {
	from := min(p.offset, total)
	to := min(from+p.limit, total)
	page := []byte(`{"$type":"Asi.Soa.Core.DataContracts.PagedResult, Asi.Contracts",` +
		`"Items":{"$type":"System.Collections.Generic.List` + "`" + `1[[System.Object, mscorlib]], mscorlib","$values":[`)
	for i := from; i < to; i++ {
		if i > from {
			page = append(page, ',')
		}
		page = write(page, i)
	}
	next := 0
	if to < total {
		next = to
	}
	says := total
	if p.query != nil && p.query.Total != nil {
		says = *p.query.Total
	}
	return fmt.Appendf(page, `]},"Offset":%d,"Limit":%d,"Count":%d,"TotalCount":%d,"NextPageLink":null,"HasNext":%t,"NextOffset":%d}`,
		p.offset, p.limit, to-from, says, next > 0, next)
}

// sort puts rows into the saved order, for the page at an offset: /api/query takes no other order, users say.
// That equal rows change places is what a database may do.
func (q *Query) sort(rows []int, offset int) {
	if q.Sort == nil {
		return
	}
	order := func(a, b int) int {
		for _, name := range q.Sort {
			column := slices.IndexFunc(q.Columns, func(c Column) bool { return c.Name == name })
			x, y := q.Row(a)[column], q.Row(b)[column]
			i, isNumber := x.(int)
			j, alsoNumber := y.(int)
			by := strings.Compare(strings.ToLower(cellText(x)), strings.ToLower(cellText(y)))
			if isNumber && alsoNumber {
				by = cmp.Compare(i, j)
			}
			if by != 0 {
				return by
			}
		}
		return cmp.Compare(shuffled(a, offset), shuffled(b, offset))
	}
	slices.SortStableFunc(rows, order)
}

// shuffled is where a row comes among its equals on the page at an offset.
func shuffled(row, offset int) uint32 {
	place := uint32(row)*2654435761 ^ uint32(offset)*2246822519
	place = (place ^ place>>15) * 3266489917
	return place ^ place>>13
}

// appendFlatRow writes the row as /api/query does.
func appendFlatRow(to []byte, q *Query, i int) []byte {
	to = append(to, `{"$type":"System.Dynamic.ExpandoObject, System.Core"`...)
	for c, cell := range q.Row(i) {
		if _, absent := cell.(Absent); absent {
			continue
		}
		to = append(appendValue(append(to, ','), q.Columns[c].Name), ':')
		to = appendValue(to, cell)
	}
	return append(to, '}')
}

// appendEntityRow writes the row as /api/iqa does, with the ResultRow that it adds.
func appendEntityRow(to []byte, q *Query, i int) []byte {
	const property = `{"$type":"Asi.Soa.Core.DataContracts.GenericPropertyData, Asi.Contracts","Name":`
	to = append(to, `{"$type":"Asi.Soa.Core.DataContracts.GenericEntityData, Asi.Contracts","EntityTypeName":"59",`+
		`"Properties":{"$type":"Asi.Soa.Core.DataContracts.GenericPropertyDataCollection, Asi.Contracts","$values":[`...)
	to = append(append(to, property...), `"ResultRow","Value":"`...)
	to = append(strconv.AppendInt(to, int64(i+1), 10), `"}`...)
	for c, cell := range q.Row(i) {
		to = appendValue(append(append(to, ','), property...), q.Columns[c].Name)
		switch cell.(type) {
		case nil, Absent:
		case int, int64:
			to = appendValue(append(to, `,"Value":`...), Wrapped{"System." + q.Columns[c].Type, cell})
		default:
			to = appendValue(append(to, `,"Value":`...), cell)
		}
		to = append(to, '}')
	}
	return append(to, `]}}`...)
}

// appendValue writes a cell.
func appendValue(to []byte, cell any) []byte {
	if binary, ok := cell.([]byte); ok {
		cell = Wrapped{"System.Byte[], mscorlib", binary} // bytes are base64 in JSON
	}
	text, err := json.Marshal(cell)
	if err != nil {
		panic(err) // a query whose rows are not what Query says
	}
	return append(to, text...)
}
