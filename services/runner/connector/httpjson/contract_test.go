package httpjson

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/connectortest"
	"runhook/shared/task"
)

// Services that give all rows at once, and in pages of each kind.
func TestSourceContract(t *testing.T) {
	for name, next := range map[string]*task.NextPage{
		"one page": nil, "offset": {Offset: "skip"}, "page": {Page: "page"}, "link": {Link: "next"}, "cursor": {Cursor: "after", From: "next"},
	} {
		t.Run(name, func(t *testing.T) {
			connectortest.Source(t, connectortest.SourceHarness{
				Kind: SourceKind{},
				New: func(t *testing.T) func(rows []connectortest.Row) connector.Job {
					var present atomic.Pointer[[]connectortest.Row]
					s := serve(t, func(w http.ResponseWriter, r *http.Request) { givePage(w, r, *present.Load(), next) })
					return func(rows []connectortest.Row) connector.Job {
						present.Store(&rows)
						return connector.Job{Connections: connect(t, s.URL), Task: &task.Definition{Source: &task.HTTPSource{
							Connection: "partner", Path: "/members", Items: "rows", Total: "total", Next: next, Columns: []string{"id", "name"},
						}}}
					}
				},
				Warned: func(t *testing.T) connector.Job {
					s := answers(t, map[string]string{"/members": `{"rows":[{"id":"1","name":"a"},{"id":"2","name":"b"}]}`})
					return connector.Job{Connections: connect(t, s.URL), Task: &task.Definition{Source: &task.HTTPSource{Connection: "partner", Path: "/members", Items: "rows", Total: "total"}}}
				},
				Missing: func(t *testing.T) connector.Job {
					s := answers(t, nil)
					return connector.Job{Connections: connect(t, s.URL), Task: &task.Definition{Source: &task.HTTPSource{Connection: "partner", Path: "/members"}}}
				},
			})
		})
	}
}

// givePage answers with a page: all rows without next, else three, or 500 where there are many.
func givePage(w http.ResponseWriter, r *http.Request, rows []connectortest.Row, next *task.NextPage) {
	all, from, size := rows, 0, len(rows)
	if next != nil {
		if size = 3; len(rows) > 100 {
			size = 500
		}
		query := r.URL.Query()
		for _, name := range []string{"skip", "after"} {
			if text := query.Get(name); text != "" {
				from, _ = strconv.Atoi(text)
			}
		}
		if page, err := strconv.Atoi(query.Get("page")); err == nil {
			from = (page - 1) * size
		}
		from = min(from, len(all))
		rows = all[from:min(from+size, len(all))]
	}
	items := make([]string, len(rows))
	for i, row := range rows {
		object, _ := json.Marshal(map[string]string{"id": row.ID, "name": row.Name})
		if items[i] = string(object); row.Faulty {
			items[i] = fmt.Sprintf("%q", row.Name)
		}
		if row.Broken {
			items[i] = `{"id":` // what comes is no JSON
		}
	}
	following := "null"
	if next != nil && from+size < len(all) {
		switch {
		case next.Link != "":
			following = fmt.Sprintf(`"/members?skip=%d"`, from+size)
		case next.Cursor != "":
			following = strconv.Itoa(from + size)
		}
	}
	fmt.Fprintf(w, `{"total":%d,"rows":[%s],"next":%s}`, len(all), strings.Join(items, ","), following)
}

func TestDestinationContract(t *testing.T) {
	job := func(t *testing.T, url string) connector.Job {
		return connector.Job{Connections: connect(t, url), Run: "task.7", Task: &task.Definition{Destination: &task.HTTPDestination{
			Connection: "partner", Path: "/members", Method: http.MethodPost, Batch: 1000,
		}}}
	}
	connectortest.Destination(t, connectortest.DestinationHarness{
		Kind: DestinationKind{}, Refused: math.Inf(1),
		New: func(t *testing.T) *connectortest.Place {
			var mu sync.Mutex
			var rows []string
			broken := false
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				var got []struct{ ID, Name string }
				if r.Method == http.MethodHead {
					return
				}
				err := json.NewDecoder(r.Body).Decode(&got)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || broken {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				for _, r := range got {
					rows = append(rows, connectortest.Line(r.ID, r.Name))
				}
			})
			return &connectortest.Place{
				Job:   job(t, s.URL),
				Rows:  func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(rows) },
				Break: func() { mu.Lock(); defer mu.Unlock(); broken = true },
			}
		},
		Missing: func(t *testing.T) connector.Job {
			j := job(t, "http://127.0.0.1:1")
			j.Task.Destination.(*task.HTTPDestination).Connection = "none"
			return j
		},
	})
}
