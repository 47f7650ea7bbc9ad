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

// webhook reads by which ids callers start runs, and did before.
func (r *reader) webhook(file *fieldSet, def *task.Definition) {
	if section := file.contents["webhook"].section; section != nil {
		if given, ok := section.field("id"); ok {
			def.Webhook.ID = r.guid(given, "webhook.id")
		}
		def.Webhook.Former = r.formerIDs("webhook.former", section.contents["former"].sections, def.WebhookID(), nil)
	}
	def.FormerIDs = r.formerIDs("former_ids", file.contents["former_ids"].sections, def.ID, def.Webhook.Former)
}

// guid reads a GUID, and reports what is none.
func (r *reader) guid(given content, name string) task.ID {
	id, err := task.ParseID(strings.TrimSpace(given.text))
	if err != nil {
		r.report(given.line, "%s: %v, like 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", name, err)
	}
	return id
}

// formerIDs makes the former ids from their entries in the file, of which none may be the present one, nor one
// of others.
func (r *reader) formerIDs(name string, entries []*fieldSet, current task.ID, others []task.FormerID) (former []task.FormerID) {
	for _, entry := range entries {
		given, ok := entry.field("id")
		until, dated := entry.field("until")
		if !ok || !dated {
			continue // reported
		}
		id := r.guid(given, name+".id")
		switch {
		case id == "":
		case id == current:
			r.report(given.line, "%s.id: %s is the present id; give the task a new one, or remove the entry", name, id)
		case slices.ContainsFunc(slices.Concat(former, others), func(f task.FormerID) bool { return f.ID == id }):
			r.report(given.line, "%s.id: %s is there twice", name, id)
		default:
			former = append(former, task.FormerID{ID: id, Until: until.moment})
		}
	}
	return former
}
