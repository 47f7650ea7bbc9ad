package httpjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"runhook/services/runner/row"
	"runhook/shared/run"
)

var (
	// pageStart is how a page for people begins.
	pageStart = regexp.MustCompile(`(?i)^\s*<(!doctype html|html)\b`)
	// entryNames are names of a list with an entry for a row that was sent alone.
	entryNames = regexp.MustCompile(`^(results?|items|records|rows|responses?|entries|operations)$`)
	// parts are names of members that speak of some of the rows.
	parts = regexp.MustCompile(`(?i)(errors|errs|exceptions|faults|partial.*|incomplete)$`)
)

// settle sets what became of the rows. With 2xx those have failed of which the answer says so, and all if it says that
// of the whole; with another status all have, each with what the answer says of it.
func (d *Destination) settle(r reply) error {
	d.sent = nil
	if row.Exceeds(r.body, maxAnswer) {
		return run.Failf("%s is answered with status %d and JSON that is nested deeper than %d levels, or has more than %d values; the %d rows were sent, and it is not known which were taken", d.place, r.status, row.MaxDepth, maxAnswer, len(d.rows))
	}
	answer := hear(r)
	if one, _ := answer.([]any); len(one) == 1 && len(d.rows) > 1 {
		answer = one[0] // a summary
	}
	object, _ := answer.(map[string]any)
	if r.status >= 300 {
		d.failAll(r)
		_, err := d.failIndexed(r, object)
		return err
	}
	if answer == nil && (r.html || pageStart.Match(r.body)) {
		return run.Failf("%s is answered with status %d and a web page; perhaps it asks to log in, or the url or path is that of a page for people", d.place, r.status)
	}
	lists := d.entries(answer)
	if slices.ContainsFunc(lists, d.failEntries) {
		return nil
	}
	if indexed, err := d.failIndexed(r, object); indexed || err != nil {
		return err
	}
	whole := 0
	if len(d.rows) > 1 {
		whole = -1
	}
	switch found := d.judge(answer, whole); {
	case found.rank > 0 && (found.counted == len(d.rows) || found.counted == 0 && !parts.MatchString(found.where) || len(d.rows) == 1):
		d.failAll(r)
		return nil
	case found.rank > 0:
		return d.unknown(r, "something at "+found.where+" that names no row by its index")
	case r.status == http.StatusMultiStatus && len(lists) == 0 && memberOf(object, "errors") == nil && (object == nil || len(d.rows) > 1):
		return d.unknown(r, "no answer for each row")
	}
	if list, isList := answer.([]any); isList && 0 < len(list) && len(list) < len(d.rows) {
		return d.unknown(r, fmt.Sprintf("a list of %d", len(list)))
	}
	return nil
}

// hear is an answer's JSON, without its members where none says anything of the rows, which is most often so.
func hear(r reply) any {
	text := bytes.TrimSpace(r.body)
	isList := bytes.HasPrefix(text, []byte("[{"))
	switch {
	case !isList && !bytes.HasPrefix(text, []byte("{")) || r.status == http.StatusMultiStatus || speaks(text):
		return parse(text)
	case isList:
		var entries []struct{}
		_ = json.Unmarshal(text, &entries) // an answer of another shape has none
		return make([]any, len(entries))
	}
	return map[string]any{}
}

// speaks reports whether a member of an answer has a name that may say something of the rows.
func speaks(text []byte) bool {
	said := map[string]bool{}
	for {
		_, name, found := bytes.Cut(text, []byte{'"'})
		end := 0
		for ; end < len(name) && name[end] != '"'; end++ {
			if name[end] == '\\' {
				end++
			}
		}
		if !found || end >= len(name) {
			return false
		}
		name, text = name[:end], name[end+1:]
		if rest := bytes.TrimLeft(text, " \t\r\n"); len(rest) == 0 || rest[0] != ':' {
			continue // a value
		}
		says, known := said[string(name)]
		if !known {
			says = words[fold(string(name))] != 0 || bytes.IndexByte(name, '\\') >= 0
			said[string(name)] = says
		}
		if says {
			return true
		}
	}
}

// parse is an answer's JSON, nil without any.
func parse(body []byte) (answer any) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if decoder.Decode(&answer) != nil {
		return nil // an answer of another shape says nothing of rows
	}
	return answer
}

// memberOf is what an object has at a name, however it is written.
func memberOf(object map[string]any, name string) any {
	for given, value := range object {
		if strings.EqualFold(given, name) {
			return value
		}
	}
	return nil
}

// failAll fails all rows of the request.
func (d *Destination) failAll(r reply) {
	how := " by the service"
	if r.status >= 300 {
		how = fmt.Sprintf(" with status %d", r.status)
	}
	if len(d.rows) > 1 {
		how = " with its batch," + how
	}
	words := d.words(string(r.body))
	for _, sent := range d.rows {
		sent.Fail(row.Faultf("", "was refused%s", how).Saying(words))
	}
}

// unknown is why the run fails where some of the rows were refused.
func (d *Destination) unknown(r reply, has string) error {
	return run.Failf("%s is answered with status %d and %s; the %d rows were sent, and it is not known which were taken: set destination.http.batch to 1 for such a service", d.place, r.status, has, len(d.rows))
}

// failIndexed fails the rows that errors name by their index in the request; indexed: there are some.
func (d *Destination) failIndexed(r reply, object map[string]any) (indexed bool, err error) {
	listed, _ := memberOf(object, "errors").([]any)
	for _, entry := range listed {
		one, _ := entry.(map[string]any)
		index, ok := whole(memberOf(one, "index"))
		switch {
		case !ok && len(d.rows) > 1 && r.status < 300:
			return false, d.unknown(r, "errors that name no row by its index")
		case !ok:
			return false, nil
		case index >= int64(len(d.rows)):
			return false, run.Failf("%s is answered with an error of the row with index %d, and the request had %d; the rows were sent, and it is not known which were taken", d.place, index, len(d.rows))
		}
	}
	for _, entry := range listed {
		one, _ := entry.(map[string]any)
		index, _ := whole(memberOf(one, "index"))
		column, _ := memberOf(one, "column").(string)
		if !slices.Contains(d.columns, column) { // anything else could be a value
			column = ""
		}
		fault := row.Faultf(column, "was refused by the service")
		if r.status >= 300 {
			fault = row.Faultf(column, "was refused with status %d", r.status)
		}
		message, _ := memberOf(one, "message").(string)
		d.rows[index].Fail(fault.Saying(d.words(message)))
	}
	return len(listed) > 0, nil
}

// entries are the lists of an answer that have an entry for each row.
func (d *Destination) entries(answer any) (lists [][]any) {
	switch v := answer.(type) {
	case []any:
		if len(v) == len(d.rows) {
			return [][]any{v}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list, _ := v[name].([]any)
			if len(list) == len(d.rows) && words[fold(name)] == 0 && (len(list) > 1 || entryNames.MatchString(fold(name))) {
				lists = append(lists, list)
			}
		}
	}
	return lists
}

// failEntries fails the rows whose entry says that they failed, and reports whether there are any.
func (d *Destination) failEntries(entries []any) (some bool) {
	for i, entry := range entries {
		if entry == nil {
			continue
		}
		found := d.judge(entry, i)
		if object, _ := entry.(map[string]any); found.rank == 0 && len(object) == 1 {
			for _, inner := range object { // named by what was done, as in {"index": {"status": 409}}
				found = d.judge(inner, i)
			}
		}
		if found.rank == 0 {
			continue
		}
		some = true
		fault := row.Faultf("", "was refused by the service")
		if found.status > 0 {
			fault = row.Faultf("", "was refused with status %d", found.status)
		}
		text, _ := json.Marshal(entry) // it was JSON
		d.rows[i].Fail(fault.Saying(d.words(string(text))))
	}
	return some
}

// judge is the fault of which an answer, or its entry for row i, speaks. What repeats that row says nothing. i is -1 for
// an answer to several rows.
func (d *Destination) judge(answer any, i int) fault {
	if text, isText := answer.(string); isText {
		answer = map[string]any{"status": text}
	}
	object, _ := answer.(map[string]any)
	found := judge(object, nil)
	if found.rank > 0 && i >= 0 {
		if d.sent == nil {
			d.sent = []any{parse(d.body)}
			if list, isList := d.sent[0].([]any); isList {
				d.sent = list
			}
		}
		found = judge(object, sentAs(d.sent[i]))
	}
	return found
}

func judge(object map[string]any, own sent) fault {
	var said verdict
	said.hearAll("", object, own)
	found := said.sum()
	if found.rank == doubtful && words[fold(found.where)] == reported && said.others > 0 {
		return fault{} // words of something else
	}
	return found
}
