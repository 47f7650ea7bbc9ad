package imis

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// maxDoubtful is how many rows in a row may end without it being known what became of them: then it is
// the site, and not the rows.
const maxDoubtful = 5

// Destination writes rows to a panel or business object, each with requests of its own. It belongs to
// one goroutine.
type Destination struct {
	client *client
	to     *task.IMISDestination
	entity *Entity
	// properties are those of the mapping's columns, in its order; key and match are which of them.
	properties []*Property
	key, match []int
	// dry: nothing is changed. The site is asked what it thinks of a record as long as validates.
	dry, validates bool
	// contacts: the entity are the contacts themselves. filters: the site does not find them by its own operations.
	contacts, filters bool
	// keyed: it is known that a record stands under the key that it is inserted with.
	keyed bool
	// doubtful counts the last rows of which it is not known what became.
	doubtful int
	// end is why no more rows are written.
	end error
	// allow says why a record may not be updated or deleted now.
	allow func(what row.Outcome) error
	// number is that of the row being written.
	number int64
}

// OpenDestination signs in where that is needed, asks what the entity is, and holds the destination and
// the mapping's columns against it. Whatever is wrong is a [*run.Failure], before the first row, or
// ctx's error.
func OpenDestination(ctx context.Context, connections *connection.Set, to *task.IMISDestination, columns []string) (*Destination, error) {
	where, err := connections.IMIS(to.Connection)
	if err != nil {
		return nil, err
	}
	d := &Destination{client: open(where), to: to, validates: true, allow: func(row.Outcome) error { return nil }}
	if err := d.prepare(ctx, columns); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Try is OpenDestination for a dry run: records are looked for, the site is asked to validate what would be
// written, where it does that, and nothing is changed.
func Try(ctx context.Context, connections *connection.Set, to *task.IMISDestination, columns []string) (*Destination, error) {
	d, err := OpenDestination(ctx, connections, to, columns)
	if err == nil {
		d.dry = true
	}
	return d, err
}

func (d *Destination) prepare(ctx context.Context, columns []string) (err error) {
	if err := d.know(ctx, columns); err != nil {
		return err
	}
	if err := d.probe(ctx); err != nil {
		return err
	}
	if misfits := d.fit(columns); len(misfits) > 0 {
		texts := make([]string, len(misfits))
		for i, m := range misfits {
			texts[i] = m.String()
		}
		return run.Failf("%s does not fit the task; %s", d.asked(), strings.Join(texts, "; "))
	}
	d.arrange(columns)
	return nil
}

// know finds out what the entity is.
func (d *Destination) know(ctx context.Context, columns []string) (err error) {
	if d.contacts = isContacts(d.to.Entity); d.contacts {
		d.entity = contactEntity(columns)
		return nil
	}
	if d.entity, err = d.client.entity(ctx, d.to.Entity); err == nil {
		d.entity.settle(columns)
	}
	return err
}

// fit holds the mapping's columns against the entity.
func (d *Destination) fit(columns []string) []Misfit {
	if d.contacts {
		return fitContact(d.to, columns)
	}
	return d.entity.Fit(d.to, columns)
}

// arrange says which of the mapping's columns is which property, and which are the key or matched.
func (d *Destination) arrange(columns []string) {
	for i, column := range columns {
		p := d.entity.property(column)
		if p == nil { // of an entity that tells no properties
			p = &Property{Name: column}
		}
		d.properties = append(d.properties, p)
		if slices.Contains(d.to.Match, column) {
			d.match = append(d.match, i)
		}
	}
	// The elements of an identity have the order that the site has.
	key := d.to.Key
	if identity := d.entity.identity(); len(key) > 0 && len(identity) > 0 {
		key = identity
	}
	for _, column := range key {
		d.key = append(d.key, slices.Index(columns, column))
	}
}

// probe asks for one record, to see whether the entity can be reached at all, and is one that is written as
// others are.
func (d *Destination) probe(ctx context.Context) error {
	text, err := d.client.ask(ctx, d.asked(), "/api/"+d.entity.Name+"?limit=1", "")
	refused, isRefusal := errors.AsType[*refusal](err)
	switch {
	case isRefusal && refused.status == statusNotImplemented:
		return run.Failf("%s is not available through the REST API; switch on \"Available via the REST API\" in its properties", d.asked())
	case isRefusal && refused.status == http.StatusForbidden && d.to.Action == task.Insert && len(d.to.Match) == 0:
		return nil // an account that may add and not read
	case isRefusal:
		return refused.failure(d.asked())
	case err != nil:
		return err
	}
	list := listing{}
	if !list.read(text) {
		return run.Failf("%s is answered with something other than a list of iMIS records", d.asked())
	}
	for _, item := range list.items {
		if _, ok := readRecord(item); !ok && !d.contacts {
			return run.Failf("%s has records of a form of its own, as contacts have; to write contacts take entity: Party", d.asked())
		}
	}
	return nil
}

// asked names the entity in messages, and the row that is being written.
func (d *Destination) asked() string {
	name := d.to.Entity
	if d.entity != nil {
		name = d.entity.Name
	}
	asked := entityAsked(name, d.to.Connection)
	if d.number > 0 {
		asked += " (row " + strconv.FormatInt(d.number, 10) + ")"
	}
	return asked
}

// pending is a row that fits, with its values as they go to the site.
type pending struct {
	row    *row.Row
	fields []field
}

// Write writes the batch's rows one by one. After an error, unlike what a destination promises elsewhere,
// rows of the batch may have been written; so batches should have one row.
func (d *Destination) Write(ctx context.Context, batch *row.Batch, before func(row int64) error) error {
	if d.end != nil {
		return d.end
	}
	var all []pending
	for r := range batch.Pending() {
		fields, fault := d.fields(r.Values)
		switch {
		case fault != nil:
			r.Fail(fault)
		case fields == nil:
			r.Outcome = row.Skipped
		default:
			r.Outcome = row.Skipped // until it is written
			all = append(all, pending{r, fields})
		}
	}
	if len(all) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !d.dry {
		if err := before(batch.Last()); err != nil {
			return err
		}
	}
	for _, p := range all {
		d.number = p.row.Number
		doubtful := d.doubtful
		outcome, err := d.write(ctx, p.fields)
		d.number = 0
		if d.doubtful == doubtful { // the site has said what became of the row
			d.doubtful = 0
		}
		fault, isFault := errors.AsType[*row.Fault](err)
		switch {
		case isFault:
			p.row.Fail(fault)
		case err != nil:
			return err
		default:
			p.row.Outcome = outcome
		}
	}
	return nil
}

// fields makes of a row's values what goes to the site. They are nil for a row that is passed over, because it
// has nothing to be matched by.
func (d *Destination) fields(values []any) ([]field, *row.Fault) {
	fields := make([]field, len(values))
	for i, value := range values {
		p := d.properties[i]
		f, problem := p.field(value)
		switch {
		case problem != "":
			return nil, row.Faultf(p.Name, "%s", problem)
		case f.plain == "" && slices.Contains(d.match, i):
			if d.to.OnBlankMatch == task.SkipRow {
				return nil, nil
			}
			return nil, row.Faultf(p.Name, "must not be empty: records are matched by it")
		case f.plain == "" && slices.Contains(d.key, i):
			return nil, row.Faultf(p.Name, "must not be empty: it is the key")
		case slices.Contains(d.key, i) && unaddressable(f.plain) != "":
			return nil, row.Faultf(p.Name, "%s", unaddressable(f.plain))
		case f.plain == "" && p.Name == d.entity.Contact && d.entity.Parent == party && d.inserts():
			return nil, row.Faultf(p.Name, "must not be empty: the record belongs to that contact")
		case f.plain == "" && p.Required && !p.HasDefault && d.to.Action != task.Delete:
			return nil, row.Faultf(p.Name, "must not be empty")
		}
		fields[i] = f
	}
	return fields, nil
}

// inserts reports whether rows become new records.
func (d *Destination) inserts() bool {
	return d.to.Action == task.Insert || d.to.Action == task.Upsert
}

// Finish has nothing left to do but to say why no more rows could be written.
func (d *Destination) Finish(context.Context) error { return d.end }

// Close leaves what was written.
func (d *Destination) Close() (kept bool) {
	d.client.close()
	return true
}
