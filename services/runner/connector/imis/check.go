package imis

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/task"
)

var atQuery = check.At("source", "imis", "query")

// Check signs in, looks at what the site says of the IQA and at its first rows, and holds the task's
// parameters against its prompts.
func (SourceKind) Check(ctx context.Context, job connector.Job, found *check.Report) (looked connector.Looked, err error) {
	def := job.Task
	looked = connector.Unseen()
	s, err := enter(ctx, job.Connections, iqa(def))
	if err != nil {
		found.Fail(check.At("source", "imis", "connection"), err)
		return looked, ctx.Err()
	}
	defer s.Close()
	if s.prompts, err = prompts(def, job.Parameters); err != nil {
		found.Fail(check.At("parameters"), err)
		return looked, nil
	}
	d, err := s.client.definition(s.ctx, s.from)
	refused, isRefused := errors.AsType[*refusal](err)
	switch {
	case ctx.Err() != nil:
		return looked, ctx.Err()
	case isRefused:
		found.Warnf(atQuery, "%v, so that its prompts and types could not be looked at", refused.failure("the definition of "+s.Name()))
		d = &definition{}
	case err != nil:
		found.Fail(atQuery, err)
		return looked, nil
	case d == nil:
		found.Fail(atQuery, s.missing())
		return looked, nil
	default:
		s.checkPrompts(d, def, found)
	}
	first := s.look(d, found)
	if first != nil {
		looked.Warnings = s.checkPages(first, job, found)
		looked.First = first.rowsSeen()
	}
	looked.Columns, looked.Types = d.merge(first.names())
	return looked, ctx.Err()
}

// enter opens a source that has nothing read yet, and signs in. The error is a [*run.Failure] or ctx's.
func enter(ctx context.Context, connections *connection.Set, from *task.IMISSource) (*Source, error) {
	where, err := connections.IMIS(from.Connection)
	if err != nil {
		return nil, err
	}
	s := &Source{from: from, fetched: make(chan fetched, 1), client: open(where)}
	s.client.impatient = true
	s.ctx, s.stop = context.WithCancel(ctx)
	if err := s.client.greet(s.ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// look asks for the first rows, with the prompts that the IQA has, and reports why there are none to be
// had: then it returns nil.
func (s *Source) look(d *definition, found *check.Report) *page {
	switch known := len(d.columns)+len(d.prompts) > 0; {
	case known && s.from.Endpoint == task.IQAEndpoint:
		s.prompts = s.prompts[:min(len(s.prompts), len(d.prompts))]
	case known:
		s.prompts = slices.DeleteFunc(s.prompts, func(p prompt) bool {
			one, _ := d.prompt(p.name)
			return one == nil
		})
		if err := s.rename(d); err != nil {
			found.Fail(check.At("parameters"), err)
			return nil
		}
	}
	lacking := d.lacking(s.from.Endpoint, s.prompts)
	page, err := s.request(&page{}, min(check.Looked, int64(s.from.PageSize)), 0)
	refused, isRefused := errors.AsType[*refusal](err)
	switch {
	case isRefused && refused.status != statusNotImplemented && len(lacking) > 0:
		found.Warnf(atQuery, "read no rows, because the IQA requires a value for %s; pass -p %s=VALUE", strings.Join(lacking, ", "), strings.Join(lacking, "=VALUE -p "))
	case isRefused:
		found.Fail(atQuery, s.explain(refused))
	case err != nil:
		found.Fail(atQuery, err)
	default:
		return page
	}
	return nil
}

// lacking are the names of the prompts that require a value and are given none.
func (d *definition) lacking(endpoint task.Endpoint, given []prompt) (names []string) {
	for i, p := range d.prompts {
		has := slices.ContainsFunc(given, func(g prompt) bool { return strings.EqualFold(g.name, p.name) && g.value != "" })
		if endpoint == task.IQAEndpoint {
			has = i < len(given) && given[i].value != ""
		}
		if p.required && !has {
			names = append(names, p.name)
		}
	}
	return names
}

// merge returns the columns: those that rows have, and those that only the definition has. Without either
// they are not known.
func (d *definition) merge(seen []string) (mapping.Columns, []check.Column) {
	columns := make([]check.Column, len(seen))
	for i, name := range seen {
		columns[i].Name = name
	}
	for _, c := range d.columns {
		at := slices.IndexFunc(columns, func(have check.Column) bool { return slices.Contains(c.names, have.Name) && !have.Unseen })
		if at >= 0 {
			columns[at].Kind = c.kind
			continue
		}
		if !slices.ContainsFunc(columns, func(have check.Column) bool { return have.Name == c.names[0] }) {
			columns = append(columns, check.Column{Name: c.names[0], Kind: c.kind, Unseen: len(seen) > 0})
		}
	}
	names := check.Names(columns)
	return mapping.Columns{Names: names, Unknown: len(names) == 0}, columns
}

// hasName reports whether one of the names is this, in any letter case.
func hasName(names []string, name string) bool {
	return slices.ContainsFunc(names, func(one string) bool { return strings.EqualFold(one, name) })
}

// checkPrompts holds the task's parameters against the IQA's prompts.
func (s *Source) checkPrompts(d *definition, def *task.Definition, found *check.Report) {
	if s.from.Endpoint == task.IQAEndpoint {
		s.checkPositions(d, def, found)
		return
	}
	repeated := d.repeated()
	for _, name := range repeated {
		found.Errorf(check.At("source", "imis", "endpoint"), "%s has several prompts named %s, which /api/query cannot tell apart: give their filters different Search Labels in the IQA; or set endpoint: iqa, and list all its prompts in this order, those with a filter such as First.%[2]s and Second.%[2]s: %s",
			s.Name(), name, strings.Join(d.promptNames(), ", "))
	}
	given := map[*iqaPrompt]bool{}
	for i, parameter := range def.Parameters {
		if hasName(repeated, parameter.Name) {
			continue
		}
		p, wrong := d.prompt(parameter.Name)
		switch {
		case p == nil:
			found.Errorf(atParameter(parameter), "%s%s", s.Name(), strings.TrimPrefix(wrong, "it"))
			continue
		case given[p]:
			found.Errorf(atParameter(parameter), "another parameter of the task is for the prompt %s of %s too; remove one of the two", p.name, s.Name())
			continue
		}
		given[p] = true
		checkPrompt(*p, parameter, def.Key(i), found)
	}
	for i, p := range d.prompts {
		switch {
		case given[&d.prompts[i]], hasName(repeated, p.name):
		case p.required:
			found.Errorf(atQuery, "%s requires a value for its prompt %s, and the task has no parameter for it; add - {name: %[2]s, prompt: required} to parameters", s.Name(), p.name)
		default:
			found.Notef(atQuery, "the prompt %s is no parameter of the task, so that callers cannot pass it; add - name: %[1]s to parameters if they are to", p.name)
		}
	}
}

// checkPositions is checkPrompts for the service that knows prompts by their position.
func (s *Source) checkPositions(d *definition, def *task.Definition, found *check.Report) {
	for i, parameter := range def.Parameters {
		if i >= len(d.prompts) {
			found.Errorf(atParameter(parameter), "this is parameter number %d, and %s%s; remove it", i+1, s.Name(), strings.TrimPrefix(d.have(), "it"))
			continue
		}
		p := d.prompts[i]
		// The task may call prompts what it likes, but not one by the name of another.
		if !p.is(parameter.Name) && slices.ContainsFunc(d.prompts, func(other iqaPrompt) bool { return other.is(parameter.Name) }) {
			found.Warnf(atParameter(parameter), "endpoint: iqa passes values by position, and prompt number %d of the IQA is %s; list the parameters in this order: %s", i+1, p.name, strings.Join(d.promptNames(), ", "))
		}
		checkPrompt(p, parameter, def.Key(i), found)
	}
	for _, p := range d.prompts[min(len(def.Parameters), len(d.prompts)):] {
		if p.required {
			found.Errorf(atQuery, "%s requires a value for its prompt %s, and the task has no parameter for it; list all prompts in this order: %s", s.Name(), p.name, strings.Join(d.promptNames(), ", "))
		}
	}
}

// bare is the name of a prompt without what qualifies it.
func bare(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// checkPrompt holds a parameter against the prompt that it is for.
func checkPrompt(p iqaPrompt, parameter task.Parameter, key string, found *check.Report) {
	switch {
	case p.required && !parameter.Required && len(parameter.Default) == 0:
		found.Errorf(atParameter(parameter), "the IQA requires a value, and the task does not: a run without one fails. Set prompt: required, or a default")
	case !p.required && parameter.Required:
		found.Notef(atParameter(parameter), "the task requires a value, and the IQA does not; take prompt: required out if callers may leave it out")
	}
	if parameter.Multiple && !p.multiple {
		found.Warnf(atParameter(parameter), "the IQA's prompt takes one value, and the parameter %s takes several; set it to take multiple values in the IQA, or take multiple: true out", key)
	}
}

func atParameter(p task.Parameter) check.Field {
	return check.At("parameters", cmp.Or(p.Filter, p.Name))
}

// have says which prompts there are.
func (d *definition) have() string {
	if len(d.prompts) == 0 {
		return "it has no prompts"
	}
	return "it has the prompts " + strings.Join(d.promptNames(), ", ")
}

// Check signs in, and looks at what the site says of the entity.
func (DestinationKind) Check(ctx context.Context, job connector.Job, columns []check.Column, found *check.Report) (check.Takes, error) {
	to := destination(job)
	where, err := job.Connections.IMIS(to.Connection)
	if err != nil {
		found.Fail(check.At("destination", "imis", "connection"), err)
		return nil, nil
	}
	d := &Destination{client: open(where), to: to, validates: true}
	d.client.impatient = true
	defer d.Close()
	if err := d.client.greet(ctx); err != nil {
		found.Fail(check.At("destination", "imis", "connection"), err)
		return nil, ctx.Err()
	}
	atEntity := check.At("destination", "imis", "entity")
	names := check.Names(columns)
	if err := d.know(ctx, names); err != nil {
		found.Fail(atEntity, err)
		return nil, ctx.Err()
	}
	if err := d.probe(ctx); err != nil {
		found.Fail(atEntity, err)
	}
	for _, m := range d.fit(names) {
		switch {
		case m.Column != "":
			found.Errorf(check.At("mapping", m.Column), "%s", m.Message)
		case m.Field != "":
			found.Errorf(check.At("destination", "imis", m.Field), "%s", m.Message)
		default:
			found.Errorf(check.At("destination", "imis"), "%s", m.Message)
		}
	}
	if err := d.checkPermission(ctx, found); err != nil {
		return nil, err
	}
	if len(d.entity.Properties) == 0 {
		found.Warnf(atEntity, "the site does not say which columns %s has, so that they could not be looked up", d.asked())
	}
	for _, c := range columns {
		if p := d.entity.property(c.Name); p != nil {
			p.check(c, d.entity.Name, found)
		}
	}
	d.arrange(names)
	left := rehearsed
	if found.Failed() {
		left = 0
	}
	return func(values []any) *row.Fault {
		fields, fault := d.fields(values)
		if fault != nil || fields == nil || left == 0 {
			return fault
		}
		left--
		return d.rehearse(ctx, where, fields)
	}, ctx.Err()
}

// rehearsed is how many of the first rows the site is asked about.
const rehearsed = 3

// rehearse does with a row what a dry run does, and returns why it would fail.
func (d *Destination) rehearse(ctx context.Context, where connection.IMIS, fields []field) *row.Fault {
	d.client = open(where)
	d.client.impatient = true
	defer d.client.close()
	d.dry = true
	_, err := d.write(ctx, fields)
	fault, _ := errors.AsType[*row.Fault](err)
	return fault
}

// operations are those of the REST API by which rows of an action are written, as the vendor's pages name them.
var operations = map[task.Action][]string{
	task.Insert: {"Create"}, task.Update: {"Update"}, task.Upsert: {"Create", "Update"}, task.Delete: {"Delete"},
}

// checkPermission asks the site whether the account may write, and reports a clear no. The error is ctx's.
func (d *Destination) checkPermission(ctx context.Context, found *check.Report) error {
	for _, operation := range operations[d.to.Action] {
		text, err := d.client.do(ctx, d.asked(), call{method: http.MethodPost, address: "/api/" + d.entity.Name + "/_haspermission/" + operation})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // not every site says it
			continue
		}
		s := scanner{text: text}
		answer := s.value()
		if enveloped, ok := answer.(map[string]any); ok {
			answer = enveloped["Result"]
		}
		if answer == false {
			found.Errorf(check.At("destination", "imis", "entity"), "the site says that the account may not %s records of %s (_haspermission); give it the right, or write with another account", strings.ToLower(operation), d.entity.Name)
		}
	}
	return nil
}

// check holds what is known of a column's values against the property.
func (p *Property) check(c check.Column, entity string, found *check.Report) {
	to := "the column " + p.Name + " of " + entity
	_, problem := p.field("?")
	found.Fit(c, kindOf(p.Type).takes(c.Kind), to, problem)
	if p.MaxLength > 0 && c.Length > p.MaxLength && kindOf(p.Type) == textKind {
		found.Warnf(check.At("mapping", c.Name), "the source's column %s has texts of up to %d letters, and %s takes %d: a row with a longer one fails; shorten it, as in %s[:%[4]d]", c.From, c.Length, to, p.MaxLength, c.From)
	}
	if p.ReadOnly && !p.Identity {
		found.Warnf(check.At("mapping", c.Name), "the site gives %s its value by itself; take it out of the mapping", to)
	}
}

// takes is what field makes of values of a kind, before any is there.
func (k kind) takes(values check.Kind) check.Fit {
	if k == anyKind || k == textKind || values == check.Unknown {
		return check.Always
	}
	number := values == check.Whole || values == check.Number
	switch {
	case values == check.Text:
		return check.Perhaps
	case k == binaryKind && (values == check.Whole || values == check.Boolean): // there are such texts in base64
		return check.Perhaps
	case k == booleanKind && number, k == integerKind && values == check.Number:
		return check.Perhaps
	}
	fits := k == integerKind && values == check.Whole || k == decimalKind && number || k == booleanKind && values == check.Boolean ||
		k == dateKind && values == check.Moment || k == binaryKind && values == check.Binary
	return check.Unless(!fits, check.Never)
}
