package sqldb

import (
	"slices"

	"runhook/services/runner/connector"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/watermark"
)

var _ connector.Comparing = (*Source)(nil)

// Compares reports how the database compares the values of a column; see connector.Comparing.
func (s *Source) Compares(column string) (asText bool, unfit string) {
	at := slices.Index(s.columns, column)
	if at < 0 {
		return true, ""
	}
	single, moments := s.dialect.compares(s.types[at].Declared)
	if single {
		return false, "is of single precision, so that its highest value would count as higher than itself; take a column of another type"
	}
	return !moments, ""
}

// withSince puts the number from which a run reads into its query: as text, databases would compare it as text, or
// round it. A moment stays a parameter, in the way in which the database writes it.
func (s *Source) withSince(query string, params map[string]any) (string, error) {
	text, _ := params[task.SinceParam].(string)
	value, err := watermark.Parse(text)
	if text == "" || err != nil {
		return query, nil
	}
	if !value.IsNumber() {
		return query, nil
	}
	_, names, err := task.CutQuery(query, func(int) string { return "?" })
	if err == nil && slices.Contains(names, task.SinceParam) {
		query, _, err = task.CutQuery(query, func(n int) string {
			if names[n-1] == task.SinceParam {
				return "(" + text + ")"
			}
			return ":" + names[n-1]
		})
	}
	if err != nil {
		return "", run.Failf("source.sql.query: %v", err)
	}
	return query, nil
}

// writeSince writes the moment from which a run reads as the database does, once the type of its column is known.
func (s *Source) writeSince(since *task.Since) {
	if since == nil {
		return
	}
	at := slices.Index(s.columns, since.Column)
	if at < 0 {
		return
	}
	for _, i := range s.since {
		if text, ok := s.args[i].(string); ok {
			s.args[i] = s.writeMoment(at, text)
		}
	}
}
