package imis_test

import (
	"testing"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/connectortest"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/task"
)

// IQAs, through either service.
func TestSourceContract(t *testing.T) {
	for _, endpoint := range []task.Endpoint{task.QueryEndpoint, task.IQAEndpoint} {
		t.Run(string(endpoint), func(t *testing.T) {
			connectortest.Source(t, connectortest.SourceHarness{
				Kind: imis.SourceKind{}, Faultless: true,
				New: func(t *testing.T) func(rows []connectortest.Row) connector.Job {
					b := newBench(t, iqaOf(nil))
					b.from().Endpoint = endpoint
					return func(rows []connectortest.Row) connector.Job {
						if b.from().PageSize = 500; len(rows) < 100 {
							b.from().PageSize = 3
						}
						b.site.SetQueries(iqaOf(rows))
						for i, r := range rows {
							for offset := i / 3 * 3; r.Broken && offset <= i; offset++ {
								b.site.FailPage(offset, imissite.Times(20, imissite.Redirect("/login"))...)
							}
						}
						return b.job()
					}
				},
				Missing: func(t *testing.T) connector.Job {
					b := newBench(t, iqaOf(nil))
					b.from().Query, b.from().Endpoint = "$/None", endpoint
					return b.job()
				},
			})
		})
	}
}

func (b *bench) job() connector.Job {
	return connector.Job{Connections: b.connections, Task: b.task, Parameters: b.values}
}

func iqaOf(rows []connectortest.Row) imissite.Query {
	return imissite.Query{
		Path: "$/Members", Columns: []imissite.Column{{Name: "id", Type: "String"}, {Name: "name", Type: "String"}},
		Count: len(rows), Row: func(i int) []any { return []any{rows[i].ID, rows[i].Name} },
	}
}
