package taskfile

import (
	"slices"
	"strings"
	"time"

	"runhook/shared/task"
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
func (r *reader) formerIDs(entries []*fieldSet, current task.ID) (former []task.FormerID) {
	for _, entry := range entries {
		given, ok := entry.field("id")
		until, dated := entry.field("until")
		if !ok || !dated {
			continue // reported
		}
		id, err := task.ParseID(strings.TrimSpace(given.text))
		switch {
		case err != nil:
			r.report(given.line, "former_ids.id: %v, like 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", err)
		case id == current:
			r.report(given.line, "former_ids.id: %s is the task's present id; give the task a new id, or remove the entry", id)
		case slices.ContainsFunc(former, func(f task.FormerID) bool { return f.ID == id }):
			r.report(given.line, "former_ids.id: %s is there twice", id)
		default:
			former = append(former, task.FormerID{ID: id, Until: until.moment})
		}
	}
	return former
}
