package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"runhook/shared/nearest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Task is a task as the server lists it.
type Task struct {
	ID          task.ID `json:"Id"`
	Name        string
	Description string
	Enabled     bool
	// Definition is the hash of the current definition.
	Definition        string
	AppliedOn         time.Time
	ExecuteURL        string `json:"ExecuteUrl"`
	ExecutePollingURL string `json:"ExecutePollingUrl"`
	// Template is the body to POST.
	Template   json.RawMessage
	Parameters []Parameter
	// WebhookID is the GUID in the URLs that start runs, and FormerIDs are those that were there before.
	WebhookID task.ID    `json:"WebhookId"`
	FormerIDs []FormerID `json:"FormerIds"`
	// FileFault is why the task's file is not used, so that the task is as it was before; empty if it is.
	FileFault string `json:",omitempty"`
	// Held is why the task is held; nil if it is not.
	Held *Hold `json:",omitempty"`
	// Next are the next times at which the task is due by its schedule, and Recent what came of the last ones, the last
	// first; lists have the first of each.
	Next   []Due  `json:",omitempty"`
	Recent []Came `json:",omitempty"`
	// Then are the tasks that the ends of the task's runs start, and Followed is what came of the last ends, the last first;
	// lists leave Followed out.
	Then     []Then     `json:",omitempty"`
	Followed []Followed `json:",omitempty"`
	// Since is how far a task that reads incrementally has read; nil for any other, and in lists.
	Since *Since `json:",omitempty"`
	// Text is the task file; lists leave it out.
	Text string `json:",omitempty"`
}

// Since is how far a task that reads incrementally has read.
type Since struct {
	Column string
	// Value is the watermark, and Start that of the first run; either may be empty.
	Value, Start string
	// Overlap is how much the next run goes back from the watermark, empty for nothing.
	Overlap string `json:",omitempty"`
	// Run has moved it there; 0 if By has set it, or nobody has.
	Run run.Number `json:",omitempty"`
	By  string     `json:",omitempty"`
	On  *time.Time `json:",omitempty"`
	// Fault is why the watermark cannot be read; empty if it can.
	Fault string `json:",omitempty"`
}

// Hold is why a task starts no runs until it is enabled: too many failed in a row.
type Hold struct {
	Since    time.Time
	Failures int
	// Run is the last run that failed, and Why its message.
	Run run.Number
	Why string
}

// Due is a time at which a task is due by its schedule.
type Due struct {
	Due time.Time
	// Local is the same by the clocks of TimeZone, which is empty for a schedule with at.
	Local    string
	TimeZone string `json:",omitempty"`
	Schedule string
}

// Came is what came of such a time: a run, or why there is none.
type Came struct {
	Due time.Time
	Run run.Number `json:",omitempty"`
	Why string     `json:",omitempty"`
}

// Then is a task that the ends of another one's runs start.
type Then struct {
	// Task is its name or id, as the file has it.
	Task string
	// On are the ways to end after which it is started, and When is the condition, empty for none.
	On   []string
	When string `json:",omitempty"`
}

// Followed is what came of the end of a run: a run of another task, or why there is none.
type Followed struct {
	On time.Time
	// Run is the run that has ended.
	Run   run.Number
	Task  string
	Child run.Number `json:",omitempty"`
	Why   string     `json:",omitempty"`
}

// Parameter is one parameter of a task.
type Parameter struct {
	Name        string
	Filter      string
	Prompt      string
	Default     []string
	Multiple    bool
	Description string
}

// FormerID is an id that a webhook had before, and the moment up to which POSTs to it start runs.
type FormerID struct {
	ID    task.ID `json:"Id"`
	Until time.Time
}

// Tasks lists all tasks, by name.
func (c *Client) Tasks(ctx context.Context) ([]Task, error) {
	var list struct{ Tasks []Task }
	err := c.get(ctx, "/api/tasks", &list)
	return list.Tasks, err
}

// Task returns one task with its text.
func (c *Client) Task(ctx context.Context, id task.ID) (Task, error) {
	var found Task
	err := c.get(ctx, "/api/tasks/"+string(id), &found)
	return found, err
}

// Apply stores a task file's text under its id and reports whether that changed anything. warning says what keeps its
// runs from being executed now; empty for nothing.
func (c *Client) Apply(ctx context.Context, id task.ID, text []byte) (changed bool, warning string, err error) {
	got, err := c.ask(ctx, http.MethodPut, "/api/tasks/"+string(id), http.Header{"Content-Type": {"application/yaml"}}, text)
	if err != nil {
		return false, "", err
	}
	var applied struct {
		Changed bool
		Warning string
	}
	err = c.decode(got, &applied)
	return applied.Changed, applied.Warning, err
}

// Enable enables or disables a task, in its file where that is in the server's folder of tasks. It
// reports whether that changed anything.
func (c *Client) Enable(ctx context.Context, id task.ID, enabled bool) (changed bool, err error) {
	verb := "/disable"
	if enabled {
		verb = "/enable"
	}
	changed, _, err = c.change(ctx, "/api/tasks/"+string(id)+verb)
	return changed, err
}

// Rotate gives a task's webhook a new id and returns the task. The present one goes on starting runs until the
// moment given.
func (c *Client) Rotate(ctx context.Context, id task.ID, until time.Time) (Task, error) {
	_, rotated, err := c.change(ctx, "/api/tasks/"+string(id)+"/rotate?until="+url.QueryEscape(until.UTC().Format(time.RFC3339)))
	return rotated, err
}

// SetSince sets the watermark of a task, from which its next run reads; empty for none. It returns the watermark.
func (c *Client) SetSince(ctx context.Context, id task.ID, value string) (Since, error) {
	got, err := c.ask(ctx, http.MethodPost, "/api/tasks/"+string(id)+"/since?value="+url.QueryEscape(value), nil, nil)
	if err != nil {
		return Since{}, err
	}
	var now Since
	err = c.decode(got, &now)
	return now, err
}

// Delete takes a task away. Its runs still answer.
func (c *Client) Delete(ctx context.Context, id task.ID) error {
	_, err := c.ask(ctx, http.MethodDelete, "/api/tasks/"+string(id), nil, nil)
	return err
}

// change asks the server to change a task.
func (c *Client) change(ctx context.Context, path string) (changed bool, t Task, err error) {
	got, err := c.ask(ctx, http.MethodPost, path, nil, nil)
	if err != nil {
		return false, t, err
	}
	var answer struct {
		Changed bool
		Task    Task
	}
	err = c.decode(got, &answer)
	return answer.Changed, answer.Task, err
}

// Find turns what a user typed into an id of a task, which starts runs: a GUID in any form, taken as it is, or a
// part of the name of exactly one task. Letter case does not count, and a whole name wins over a part.
func (c *Client) Find(ctx context.Context, typed string) (task.ID, error) {
	if id, err := task.ParseID(typed); err == nil {
		return id, nil
	}
	tasks, err := c.Tasks(ctx)
	if err != nil {
		return "", err
	}
	return pick(tasks, typed)
}

func pick(tasks []Task, typed string) (task.ID, error) {
	var names []string
	var whole, part []Task
	wanted := strings.ToLower(strings.TrimSpace(typed))
	for _, t := range tasks {
		names = append(names, t.Name)
		name := strings.ToLower(t.Name)
		if name == wanted {
			whole = append(whole, t)
		}
		if strings.Contains(name, wanted) {
			part = append(part, t)
		}
	}
	found := part
	if len(whole) > 0 {
		found = whole
	}
	switch {
	case len(found) == 1:
		return cmp.Or(found[0].WebhookID, found[0].ID), nil
	case len(tasks) == 0:
		return "", fmt.Errorf("there is no task %q: the server has no tasks; `runhook task new` makes one", typed)
	case len(found) == 0:
		return "", fmt.Errorf("no task has %q in its name%s `runhook task list` shows all", typed, cmp.Or(nearest.Hint(typed, names), "."))
	}
	choices := make([]string, len(found))
	for i, t := range found {
		choices[i] = fmt.Sprintf("%s (%s)", t.Name, t.ID)
	}
	slices.Sort(choices)
	return "", fmt.Errorf("%q fits %d tasks; write more of the name, or the id: %s", typed, len(found), strings.Join(choices, ", "))
}
