package task

import (
	"slices"
	"strings"
	"time"
)

// ParseMoment reads a moment as a task file has it: RFC 3339, or a date, which means the end of that
// day in UTC.
func ParseMoment(text string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	return time.Parse(time.RFC3339, text)
}

// formerIDs makes the former ids from their entries in the file.
func (r *reader) formerIDs(entries []*fieldSet, current ID) (former []FormerID) {
	for _, entry := range entries {
		given, ok := entry.field("id")
		until, dated := entry.field("until")
		if !ok || !dated {
			continue // reported
		}
		id, err := ParseID(strings.TrimSpace(given.text))
		switch {
		case err != nil:
			r.report(given.line, "former_ids.id: %v, like 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", err)
		case id == current:
			r.report(given.line, "former_ids.id: %s is the task's present id; give the task a new id, or remove the entry", id)
		case slices.ContainsFunc(former, func(f FormerID) bool { return f.ID == id }):
			r.report(given.line, "former_ids.id: %s is there twice", id)
		default:
			former = append(former, FormerID{ID: id, Until: until.moment})
		}
	}
	return former
}
