package imis_test

import (
	"errors"
	"testing"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/row"
	"runhook/shared/task"
)

// A contact that may not be changed, as the task's bounds say, is asked for and left as it is.
func TestContactsAreChangedIfAllowed(t *testing.T) {
	p := newContacts(t, task.Update)
	p.to.Key = []string{"PartyId"}
	before, refused := p.site.Contact("201"), errors.New("enough")
	job := connector.Job{
		Task: &task.Definition{Destination: p.to}, Connections: p.connections,
		Allow: func(what row.Outcome) error {
			if what != row.Updated {
				t.Errorf("asked whether a row may become %d", what)
			}
			return refused
		},
	}
	d, err := imis.DestinationKind{}.Open(t.Context(), job, []connector.Column{{Name: "PartyId"}, {Name: "FirstName"}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for name, want := range map[string]error{"Douglas": nil, "Doug": refused} {
		batch := row.NewBatch(2)
		copy(batch.Add(1).Values, []any{"201", name})
		if err := d.Write(t.Context(), batch, func(int64) error { return nil }); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	p.is("201", before)
}
