package imis_test

import (
	"testing"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/connectortest"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
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
								b.site.FailPage(offset, sitetest.Times(20, sitetest.Redirect("/login"))...)
							}
						}
						return b.job()
					}
				},
				Warned: func(t *testing.T) connector.Job {
					q, none := iqaOf([]connectortest.Row{{ID: "1", Name: "a"}, {ID: "2", Name: "b"}}), 0
					q.Total = &none
					b := newBench(t, q)
					b.from().Endpoint = endpoint
					return b.job()
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

// A table of its own, by insert and by upsert.
func TestDestinationContract(t *testing.T) {
	for _, action := range []task.Action{task.Insert, task.Upsert} {
		t.Run(string(action), func(t *testing.T) {
			place := func(t *testing.T) (*bench, *task.IMISDestination) {
				b := newBench(t, iqaOf(nil))
				b.site.SetEntities(imissite.Entity{Name: "My_Members", ObjectType: "Standard", Parent: "Standalone", Properties: []imissite.Property{
					{Name: "id", Type: "String", Identity: true}, {Name: "name", Type: "String", MaxLength: 20},
				}})
				to := &task.IMISDestination{Connection: "prod", Entity: "My_Members", Action: action, OnMultiple: task.SkipRow, OnBlankMatch: task.SkipRow}
				if action == task.Upsert {
					to.Key = []string{"id"}
				}
				b.task = &task.Definition{Destination: to}
				return b, to
			}
			connectortest.Destination(t, connectortest.DestinationHarness{
				Kind: imis.DestinationKind{}, Refused: "longer than twenty letters",
				New: func(t *testing.T) *connectortest.Place {
					b, _ := place(t)
					return &connectortest.Place{
						Job: b.job(),
						Rows: func() (lines []string) {
							for _, row := range b.site.Rows("My_Members") {
								lines = append(lines, connectortest.Line(row["id"], row["name"]))
							}
							return lines
						},
						Break: func() { b.site.FailWrites(sitetest.Times(20, sitetest.Status(403))...) },
					}
				},
				Missing: func(t *testing.T) connector.Job {
					b, to := place(t)
					to.Entity = "My_None"
					return b.job()
				},
			})
		})
	}
}
