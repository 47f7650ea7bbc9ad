package subject_test

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"testing"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/connectortest"
	"runhook/services/runner/connector/subject"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

func TestMain(m *testing.M) { proctest.Main(m) }

func TestDestinationContract(t *testing.T) {
	connectortest.Destination(t, connectortest.DestinationHarness{
		Kind: subject.DestinationKind{}, Refused: math.Inf(1),
		New: func(t *testing.T) *connectortest.Place {
			var rows []string
			broken := false
			publish := func(ctx context.Context, to string, ids []string, messages [][]byte) (map[int]string, error) {
				switch {
				case ctx.Err() != nil:
					return nil, ctx.Err()
				case broken:
					return nil, run.Failf("a permission refuses them")
				case to != "members.changed" || len(ids) != len(messages):
					t.Errorf("%d messages with %d ids to %s", len(messages), len(ids), to)
				}
				for _, message := range messages {
					var r struct{ ID, Name string }
					if err := json.Unmarshal(message, &r); err != nil {
						t.Error(err)
					}
					rows = append(rows, connectortest.Line(r.ID, r.Name))
				}
				return nil, nil
			}
			return &connectortest.Place{
				Job: connector.Job{
					Run: "task.7", Publish: publish,
					Task: &task.Definition{Destination: &task.NATSDestination{Subject: "members.changed"}},
				},
				Rows:  func() []string { return slices.Clone(rows) },
				Break: func() { broken = true },
			}
		},
	})
}
