package taskfile

import (
	"slices"
	"testing"
	"time"

	"runhook/shared/task"
)

const (
	formerA = "0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01"
	formerB = "0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c02"
	formerC = "0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c03"
)

func TestFormerIDs(t *testing.T) {
	def, err := Parse([]byte(and("former_ids:\n  - {id: \"{0B9F3C62-8D1E-4F57-A3C4-2E6D7B8A9C01}\", until: 2031-01-31}\n  - {id: "+formerB+", until: 2031-01-31T12:00:00+02:00}")), "task.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[task.ID]time.Time{
		formerA: time.Date(2031, 2, 1, 0, 0, 0, 0, time.UTC), // the whole of its last day
		formerB: time.Date(2031, 1, 31, 10, 0, 0, 0, time.UTC),
		def.ID:  {},
	} {
		if got := def.FormerUntil(id); !got.Equal(want) {
			t.Errorf("%s starts runs until %v, want %v", id, got, want)
		}
	}
}

func TestWebhook(t *testing.T) {
	def, err := Parse([]byte(and("webhook:\n  id: \"{0B9F3C62-8D1E-4F57-A3C4-2E6D7B8A9C01}\"\n  former: [{id: "+formerB+", until: 2031-01-31}, {id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd, until: 2030-01-31}]\nformer_ids: [{id: "+formerC+", until: 2029-01-31}]")), "task.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if def.WebhookID() != formerA || len(def.Former()) != 3 {
		t.Errorf("%+v", def)
	}
	for _, c := range []struct {
		id          task.ID
		year        int
		starts, one bool
	}{
		{formerA, 2040, true, true},
		{formerB, 2030, true, true},
		{formerB, 2031, false, true},
		{def.ID, 2029, true, true},
		{def.ID, 2030, false, true},
		{formerC, 2028, true, false},
		{formerC, 2029, false, false},
		{"0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c04", 2000, false, false},
	} {
		if starts, one := def.Starts(c.id, time.Date(c.year, 6, 1, 0, 0, 0, 0, time.UTC)), slices.Contains(def.WebhookIDs(), c.id); starts != c.starts || one != c.one {
			t.Errorf("%s in %d: starts %v, of the webhook %v", c.id, c.year, starts, one)
		}
	}
	plain, err := Parse([]byte(sample), "task.yaml")
	if err != nil || plain.WebhookID() != plain.ID || !plain.Starts(plain.ID, time.Now()) || !slices.Equal(plain.WebhookIDs(), []task.ID{plain.ID}) || plain.Starts(formerA, time.Now()) {
		t.Errorf("%+v, %v", plain, err)
	}
}

func TestParseRefusesWebhooks(t *testing.T) {
	expectRefusals(t, []refusal{
		{"nothing", and("webhook: {}"), "12: webhook.id is missing: the GUID that starts runs. `id` of the file stays the task's name for events and history"},
		{"no GUID", and("webhook: {id: lapsed}"), `12: webhook.id: "lapsed" is not a GUID, like 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd`},
		{
			"a former one that is the present one", and("webhook: {id: " + formerA + ", former: [{id: " + formerA + ", until: 2031-01-31}]}"),
			"12: webhook.former.id: " + formerA + " is the present id; give the task a new one, or remove the entry",
		},
		{
			"one in both lists", and("webhook: {id: " + formerA + ", former: [{id: " + formerB + ", until: 2031-01-31}]}\nformer_ids: [{id: " + formerB + ", until: 2031-01-31}]"),
			"13: former_ids.id: " + formerB + " is there twice",
		},
	})
}

func TestParseRefusesFormerIDs(t *testing.T) {
	expectRefusals(t, []refusal{
		{
			"the present id", and("former_ids: [{id: 555E1A89-5D7D-4DAF-AE0E-7B9B2B7933DD, until: 2031-01-31}]"),
			"12: former_ids.id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd is the present id; give the task a new one, or remove the entry",
		},
		{
			"twice", and("former_ids:\n  - {id: " + formerA + ", until: 2031-01-31}\n  - {id: " + formerA + ", until: 2032-01-31}"),
			"14: former_ids.id: " + formerA + " is there twice",
		},
		{
			"no GUID", and("former_ids: [{id: lapsed, until: 2031-01-31}]"),
			`12: former_ids.id: "lapsed" is not a GUID, like 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd`,
		},
		{
			"no date", and("former_ids: [{id: " + formerA + ", until: 31.1.2031}]"),
			`12: former_ids.until must be a date like 2031-01-31, or a moment like 2031-01-31T12:00:00Z, not "31.1.2031"`,
		},
		{
			"a day that there is not", and("former_ids: [{id: " + formerA + ", until: 2031-02-30}]"),
			`12: former_ids.until must be a date like 2031-01-31, or a moment like 2031-01-31T12:00:00Z, not "2031-02-30"`,
		},
		{
			"nothing", and("former_ids: [{}]"),
			lines(
				"12: former_ids.id is missing: the former GUID; POSTs to it still start runs until the date",
				"12: former_ids.until is missing: the last day, or the moment, that it does so; later POSTs get 410",
			),
		},
	})
}
