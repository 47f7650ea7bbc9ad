package imis

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// write does with one row what the task's action is. The error is a [*row.Fault], a [*run.Failure] or
// ctx's.
func (d *Destination) write(ctx context.Context, fields []field) (row.Outcome, error) {
	if d.to.Action == task.Insert && len(d.match) == 0 {
		return d.insert(ctx, fields)
	}
	found, err := d.find(ctx, fields)
	several := len(found) > 1
	switch {
	case err != nil:
		return row.Ready, err
	case several && d.to.OnMultiple == task.FailRow:
		return row.Ready, row.Faultf("", "matches more than one record")
	case several && d.to.OnMultiple == task.SkipRow:
		return row.Skipped, nil
	case len(found) == 0 && d.inserts():
		return d.insert(ctx, fields)
	case d.to.Action == task.Insert:
		return row.Skipped, nil
	}
	return d.each(found, func(one *record) (row.Outcome, error) {
		if d.to.Action == task.Delete {
			return d.remove(ctx, one)
		}
		return d.update(ctx, one, fields)
	})
}

// each changes the records of one row, which is skipped where there are none.
func (d *Destination) each(found []*record, change func(*record) (row.Outcome, error)) (outcome row.Outcome, err error) {
	outcome = row.Skipped
	for i, one := range found {
		got, err := change(one)
		if fault, ok := errors.AsType[*row.Fault](err); ok && i > 0 {
			fault.Message += fmt.Sprintf("; %d of the %d records that the row matches were done before", i, len(found))
		}
		if err != nil {
			return row.Ready, err
		}
		if got != row.Skipped && (outcome == row.Skipped || got != row.Unchanged) {
			outcome = got
		}
	}
	return outcome, nil
}

// find looks for the record of a row by its key, or for those that it matches. There may be more of those
// than are returned.
func (d *Destination) find(ctx context.Context, fields []field) ([]*record, error) {
	switch {
	case d.contacts:
		return d.findContacts(ctx, fields)
	case len(d.match) > 0:
		return d.findMatches(ctx, fields)
	}
	identity := make([]string, len(d.key))
	for i, at := range d.key {
		identity[i] = fields[at].plain
	}
	text, err := d.client.do(ctx, d.asked(), call{method: http.MethodGet, address: addressOf(d.entity.Name, identity)})
	if refused, ok := errors.AsType[*refusal](err); ok && refused.status == statusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, d.refused(err, fields)
	}
	found, ok := readRecord(text)
	if !ok {
		return nil, run.Failf("%s is answered with something other than an iMIS record", d.asked())
	}
	return []*record{found}, d.is(found, fields, d.key)
}

// maxMatches is how many records one row may change.
const maxMatches = 500

// findMatches asks for records that have those values, for no more than it needs. A value is sent behind the
// operator eq, so that it can be none itself.
func (d *Destination) findMatches(ctx context.Context, fields []field) (found []*record, err error) {
	var query strings.Builder
	for _, at := range d.match {
		query.WriteString(escape(fields[at].property.Name) + "=" + escape("eq:"+fields[at].plain) + "&")
	}
	limit := "2"
	if d.to.OnMultiple == task.AllRecords {
		limit = strconv.Itoa(maxMatches)
	}
	text, err := d.client.do(ctx, d.asked(), call{method: http.MethodGet, address: "/api/" + d.entity.Name + "?" + query.String() + "limit=" + limit})
	if err != nil {
		return nil, d.refused(err, fields)
	}
	list := listing{}
	if !list.read(text) {
		return nil, run.Failf("%s is answered with something other than a list of iMIS records", d.asked())
	}
	if list.more && d.to.OnMultiple == task.AllRecords {
		return nil, row.Faultf("", "matches more than %d records, or than the site gives at a time; match by more columns", len(list.items))
	}
	for _, item := range list.items {
		one, ok := readRecord(item)
		if !ok {
			return nil, run.Failf("%s is answered with something other than an iMIS record", d.asked())
		}
		if err := d.is(one, fields, d.match); err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, nil
}

// is looks whether a record has those of a row's values by which it was found: to change another one would be
// the worst that can happen.
func (d *Destination) is(found *record, fields []field, columns []int) error {
	for _, at := range columns {
		f := fields[at]
		plain, ok := found.plain(f.property)
		same := strings.EqualFold(strings.TrimSpace(plain), strings.TrimSpace(f.plain))
		if d.contacts && strings.HasPrefix(f.property.Name, "Phone.") {
			same = onlyDigits(plain) == onlyDigits(f.plain)
		}
		if !ok || !same {
			return row.Faultf(f.property.Name, "is another in the record that the site gives for it; nothing was changed")
		}
	}
	return nil
}

// onlyDigits is a phone number without what people write into it.
func onlyDigits(number string) string {
	return strings.Map(func(letter rune) rune {
		if letter >= '0' && letter <= '9' {
			return letter
		}
		return -1
	}, number)
}

// insert stores a new record.
func (d *Destination) insert(ctx context.Context, fields []field) (row.Outcome, error) {
	body := ""
	if d.contacts {
		body = newContact(fields).text()
	} else {
		body = newRecord(d.entity, fields)
	}
	if d.dry {
		return row.Inserted, d.validate(ctx, body, fields)
	}
	for try := 1; ; try++ {
		_, err := d.client.do(ctx, d.asked(), call{method: http.MethodPost, address: "/api/" + d.entity.Name, body: body, once: true})
		lost, isSpent := errors.AsType[*spent](err)
		refused, isRefusal := errors.AsType[*refusal](err)
		switch {
		case err == nil:
			d.checkKeyed(ctx, fields)
			return row.Inserted, nil
		case isRefusal && refused.status == http.StatusConflict && try > 1 && d.late(ctx, fields):
			return row.Inserted, nil
		case isRefusal && refused.status == http.StatusConflict && d.to.Action == task.Upsert:
			// Somebody else may have been faster.
			if found, findErr := d.find(ctx, fields); findErr == nil && len(found) == 1 {
				return d.update(ctx, found[0], fields)
			}
			return row.Ready, d.refused(err, fields)
		case !isSpent || !lost.lost:
			return row.Ready, d.refused(err, fields)
		}
		// It may have been stored. Where it can be looked for, it is.
		there, err := d.arrived(ctx, fields, try)
		failure, isFailure := errors.AsType[*run.Failure](err)
		switch {
		case isFailure:
			return row.Ready, run.Failf("%s; the row may have been inserted all the same", failure.Message)
		case err != nil:
			return row.Ready, err
		case there:
			return row.Inserted, nil
		case try == maxInserts || !d.findable():
			return row.Ready, d.doubt(row.Faultf("", "outcome unknown, because the site %s; look for the record before you send the row again", lost.reason))
		}
	}
}

// maxInserts is how often an insert is sent whose answers are lost, each time after it was not found.
const maxInserts = 3

// findable reports whether a record that was inserted can be found again.
func (d *Destination) findable() bool { return len(d.match) > 0 || len(d.key) > 0 && d.keyed }

// arrived looks whether an insert whose answer was lost has been carried out.
func (d *Destination) arrived(ctx context.Context, fields []field, try int) (bool, error) {
	if !d.findable() {
		return false, nil
	}
	if !wait.For(ctx, pause.After(try)) {
		return false, ctx.Err()
	}
	found, err := d.find(ctx, fields)
	if len(found) == 0 || err != nil || len(d.match) > 0 || d.to.Action != task.Insert {
		return len(found) > 0, err // it was looked for before, and was not there
	}
	changes, err := d.changes(found[0], fields)
	if len(changes) > 0 || err != nil {
		return false, d.isThere()
	}
	return true, nil
}

// late looks whether the record that keeps another from being inserted is the one that an earlier try sent.
func (d *Destination) late(ctx context.Context, fields []field) bool {
	found, err := d.find(ctx, fields)
	if err != nil || len(found) != 1 {
		return false
	}
	changes, err := d.changes(found[0], fields)
	return err == nil && len(changes) == 0
}

// isThere is the fault of a row whose key another record has.
func (d *Destination) isThere() *row.Fault {
	column := ""
	if len(d.to.Key) == 1 {
		column = d.to.Key[0]
	}
	return row.Faultf(column, "is there already (a duplicate key)")
}

// doubt counts a row of which it is not known what became, and ends the run with the last of too many.
func (d *Destination) doubt(fault *row.Fault) error {
	if d.doubtful++; d.doubtful >= maxDoubtful {
		d.end = run.Failf("%s: the last %d rows ended without an answer that says what became of them; the site may be out of order", entityAsked(d.entity.Name, d.to.Connection), d.doubtful)
	}
	return fault
}

// checkKeyed looks, after the first insert, whether the record stands under its key. A site that gives it another
// would get it again with the next run.
func (d *Destination) checkKeyed(ctx context.Context, fields []field) {
	if d.keyed || len(d.key) == 0 {
		return
	}
	found, err := d.find(ctx, fields)
	switch {
	case len(found) > 0 && err == nil:
		d.keyed = true
	case err == nil:
		d.end = run.Failf("%s took a record, and does not have it under the key that it came with (%s): the site gives one of its own. Take match instead of key",
			d.asked(), strings.Join(d.to.Key, ", "))
	}
}

// changes are the fields by which a row differs from its record. The error is a [*row.Fault].
func (d *Destination) changes(found *record, fields []field) (changes []field, err error) {
	for _, f := range fields {
		p := f.property
		stored, comparable := found.plain(p)
		if slices.Contains(d.to.Append, p.Name) {
			var problem string
			if f, problem = p.field(union(stored, f.plain)); problem != "" {
				return nil, row.Faultf(p.Name, "%s, together with what is there", problem)
			}
		}
		isIdentity := p.Identity || p.Name == d.entity.Contact && d.entity.Parent == party
		switch {
		case comparable && (stored == f.plain || isIdentity && strings.EqualFold(stored, f.plain)):
		case isIdentity:
			return nil, row.Faultf(p.Name, "is another in the record found, whose identity cannot be changed")
		default:
			changes = append(changes, f)
		}
	}
	return changes, nil
}

// update changes a record where it differs from the row.
func (d *Destination) update(ctx context.Context, found *record, fields []field) (row.Outcome, error) {
	changes, err := d.changes(found, fields)
	if err != nil {
		return row.Ready, err
	}
	if len(changes) == 0 {
		return row.Unchanged, nil
	}
	if d.contacts {
		return d.changeContact(ctx, found, changes, fields)
	}
	address, err := d.addressOf(found)
	if err != nil {
		return row.Ready, err
	}
	body := found.change(changes)
	if d.dry {
		return row.Updated, d.validate(ctx, body, fields)
	}
	if err := d.allow(row.Updated); err != nil {
		return row.Ready, err
	}
	_, err = d.client.do(ctx, d.asked(), call{method: http.MethodPut, address: address, body: body})
	if refused, ok := errors.AsType[*refusal](err); ok && refused.status == statusNotFound {
		return row.Skipped, nil // deleted in the meantime
	}
	if err != nil {
		return row.Ready, d.refused(err, fields)
	}
	return row.Updated, nil
}

// remove deletes a record.
func (d *Destination) remove(ctx context.Context, found *record) (row.Outcome, error) {
	address, err := d.addressOf(found)
	if err != nil || d.dry {
		return row.Deleted, err
	}
	if err := d.allow(row.Deleted); err != nil {
		return row.Ready, err
	}
	_, err = d.client.do(ctx, d.asked(), call{method: http.MethodDelete, address: address})
	refused, ok := errors.AsType[*refusal](err)
	switch {
	case err == nil, ok && refused.status == statusNotFound && refused.doubted:
		return row.Deleted, nil
	case ok && refused.status == statusNotFound:
		return row.Skipped, nil
	}
	return row.Ready, d.refused(err, nil)
}

// addressOf is that of a record that was found.
func (d *Destination) addressOf(found *record) (string, error) {
	if len(found.identity) == 0 {
		return "", run.Failf("%s gives records without an identity, by which they could be changed", d.asked())
	}
	for _, element := range found.identity {
		if problem := unaddressable(element); problem != "" {
			return "", row.Faultf("", "matches a record whose identity %s", problem)
		}
	}
	return addressOf(d.entity.Name, found.identity), nil
}
