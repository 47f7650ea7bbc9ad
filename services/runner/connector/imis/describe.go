package imis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/shared/run"
	"runhook/shared/task"
)

// IQA is what a site says of an IQA, as a task is made of it.
type IQA struct {
	// Parameters are its prompts, in its order.
	Parameters []task.Parameter
	// Endpoint is the service that can tell its prompts apart.
	Endpoint task.Endpoint
	// Columns are those of its rows, or of its definition where no rows could be looked at.
	Columns []string
}

// Describe asks a site what the IQA of a source is. Its endpoint does not count. The error is a
// [*run.Failure] or ctx's.
func Describe(ctx context.Context, connections *connection.Set, from *task.IMISSource) (*IQA, error) {
	asking := *from
	asking.Endpoint, asking.PageSize = task.QueryEndpoint, check.Looked
	s, err := enter(ctx, connections, &asking)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	d, err := s.client.definition(s.ctx, s.from)
	refused, isRefused := errors.AsType[*refusal](err)
	switch {
	case isRefused:
		return nil, refused.failure("the definition of " + s.Name())
	case err != nil:
		return nil, err
	case d == nil:
		return nil, s.missing()
	}
	var found check.Report
	columns, _ := d.merge(s.look(d, &found).names())
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case found.Failed():
		return nil, found.Err()
	case len(columns.Names) == 0:
		return nil, run.Failf("the site does not say which columns %s has, and it gives no rows to tell them by", s.Name())
	}
	iqa := &IQA{Columns: columns.Names}
	iqa.Parameters, iqa.Endpoint = d.parameters()
	return iqa, nil
}

// parameters are those of a task that reads the IQA, and the endpoint that takes them.
func (d *definition) parameters() ([]task.Parameter, task.Endpoint) {
	endpoint := task.QueryEndpoint
	if len(d.repeated()) > 0 || slices.ContainsFunc(d.prompts, func(p iqaPrompt) bool { return !task.IsPromptName(p.name) }) {
		endpoint = task.IQAEndpoint
	}
	parameters := make([]task.Parameter, len(d.prompts))
	count := map[string]int{}
	for i, p := range d.prompts {
		name := strings.TrimSpace(bare(p.name))
		if name == "" {
			name = "Prompt" + strconv.Itoa(i+1)
		}
		count[strings.ToLower(name)]++
		parameters[i] = task.Parameter{Name: name, Required: p.required, Multiple: p.multiple && endpoint == task.QueryEndpoint}
	}
	for i, p := range parameters {
		if count[strings.ToLower(p.Name)] > 1 {
			parameters[i].Filter = "Prompt" + strconv.Itoa(i+1) + "." + p.Name
		}
	}
	return parameters, endpoint
}
