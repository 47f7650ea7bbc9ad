package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
	"runhook/shared/web"
)

// taskDocument is a task as the admin routes show it.
type taskDocument struct {
	ID                task.ID `json:"Id"`
	Name              string
	Description       string
	Enabled           bool
	Definition        string
	AppliedOn         run.Time
	ExecuteURL        string `json:"ExecuteUrl"`
	ExecutePollingURL string `json:"ExecutePollingUrl"`
	Template          json.RawMessage
	Parameters        []parameterDocument
	WebhookID         task.ID          `json:"WebhookId"`
	FormerIDs         []formerDocument `json:"FormerIds"`
	FileFault         string           `json:",omitempty"`
	Held              *heldDocument    `json:",omitempty"`
	// Next are the next times at which the task is due by its schedule, and Recent what came of the last ones; a list has
	// the first of each.
	Next   []dueDocument  `json:",omitempty"`
	Recent []cameDocument `json:",omitempty"`
	// Then are the tasks that the ends of the task's runs start, and Followed is what came of the last ends, the last first;
	// a list leaves Followed out.
	Then     []thenDocument     `json:",omitempty"`
	Followed []followedDocument `json:",omitempty"`
	// Since is how far a task that reads incrementally has read; a list leaves it out.
	Since *sinceDocument `json:",omitempty"`
	Text  *string        `json:",omitempty"`
}

// thenDocument is an entry of then, as the admin routes show it.
type thenDocument struct {
	Task string
	On   []string
	When string `json:",omitempty"`
}

// followedDocument is what came of the end of a run, as the admin routes show it: a run of another task, or why there is
// none.
type followedDocument struct {
	On    run.Time
	Run   run.Number
	Task  string
	Child run.Number `json:",omitempty"`
	Why   string     `json:",omitempty"`
}

// parameterDocument is a parameter as the admin routes show it. Name is what a caller passes.
type parameterDocument struct {
	Name        string
	Filter      string
	Prompt      string
	Default     []string
	Multiple    bool
	Description string
}

// heldDocument is why a task is held, as the admin routes show it.
type heldDocument struct {
	Since    run.Time
	Failures int
	Run      run.Number
	Why      string
}

// dueDocument is a time at which a task is due, as the admin routes show it. Local is the same by the clocks of the
// schedule's zone.
type dueDocument struct {
	Due      run.Time
	Local    string
	TimeZone string `json:",omitempty"`
	Schedule string
}

// cameDocument is what came of a time, as the admin routes show it: a run, or why there is none.
type cameDocument struct {
	Due run.Time
	Run run.Number `json:",omitempty"`
	Why string     `json:",omitempty"`
}

// formerDocument is a former id of a webhook as the admin routes show it.
type formerDocument struct {
	ID    task.ID `json:"Id"`
	Until run.Time
}

// describe makes a task's document for the caller of a request.
func (s *Service) describe(rc *fasthttp.RequestCtx, t bus.Task, withText bool) (taskDocument, error) {
	base, err := s.options.Locator.Base(rc)
	if err != nil {
		return taskDocument{}, err
	}
	doc := taskDocument{
		ID: t.ID, Name: t.Name, Description: t.Description, Enabled: t.Enabled,
		Definition: t.Hash, AppliedOn: run.Time(t.AppliedOn),
		WebhookID:         t.WebhookID(),
		ExecuteURL:        base + "/task/execute/" + string(t.WebhookID()),
		ExecutePollingURL: base + "/task/executepolling/" + string(t.WebhookID()),
		Template:          t.Template(), Parameters: []parameterDocument{}, FormerIDs: []formerDocument{},
	}
	if s.options.FileFault != nil {
		doc.FileFault = s.options.FileFault(t.ID)
	}
	if held, ok := s.options.Holds.Of(t.ID); ok {
		doc.Held = &heldDocument{run.Time(held.On), held.Failures, held.Run, held.Why}
	}
	for _, former := range t.Former() {
		doc.FormerIDs = append(doc.FormerIDs, formerDocument{former.ID, run.Time(former.Until)})
	}
	for i, parameter := range t.Parameters {
		prompt := "optional"
		if parameter.Required {
			prompt = "required"
		}
		doc.Parameters = append(doc.Parameters, parameterDocument{
			Name: t.Key(i), Filter: parameter.Filter, Prompt: prompt,
			Default: append([]string{}, parameter.Default...), Multiple: parameter.Multiple, Description: parameter.Description,
		})
	}
	s.describeSchedule(&doc, t, withText)
	s.describeThen(&doc, t, withText)
	if withText {
		doc.Text = new(string(t.Text))
	}
	return doc, nil
}

// nextShown is how many of the next times are shown of one task.
const nextShown = 10

// describeSchedule says when a task is due, and what came of that: the next and the last time, or more of them.
func (s *Service) describeSchedule(doc *taskDocument, t bus.Task, more bool) {
	shown := 1
	if more {
		shown = nextShown
	}
	next, came := s.Due(t, shown)
	for _, due := range next {
		doc.Next = append(doc.Next, dueDocument{run.Time(due.At), due.Local(), due.Schedule.TimeZone, due.Schedule.String()})
	}
	for _, one := range came {
		doc.Recent = append(doc.Recent, cameDocument{run.Time(one.Due), one.Run, one.Why})
	}
}

// Due are the next times at which a task is due by its schedules, none while it is disabled or held, and what came of the
// last ones, the newest first; at most so many of each.
func (s *Service) Due(t bus.Task, most int) (next []task.Due, came []run.Dealt) {
	table := s.options.Timetables.Of(t.ID)
	if _, held := s.Held(t.ID); t.Enabled && !held {
		after := time.Now()
		if table.Done.After(after) && table.Definition == t.Hash {
			after = table.Done
		}
		next = t.Coming(after, most)
	}
	for i := len(table.Recent) - 1; i >= 0 && len(came) < most; i-- {
		came = append(came, table.Recent[i])
	}
	return next, came
}

// followedShown is of how many ends is shown what came of them.
const followedShown = 10

// describeThen says what the ends of a task's runs start and, with more, what came of the last ones.
func (s *Service) describeThen(doc *taskDocument, t bus.Task, more bool) {
	for _, then := range t.Then {
		doc.Then = append(doc.Then, thenDocument{then.Task, then.On, then.When})
	}
	if !more {
		return
	}
	recent := s.options.Chains.Of(t.ID).Recent
	for i := len(recent) - 1; i >= 0 && len(doc.Followed) < followedShown; i-- {
		came := recent[i]
		doc.Followed = append(doc.Followed, followedDocument{run.Time(came.On), came.Run, came.Task, came.Child, came.Why})
	}
}

// listTasks answers GET /api/tasks with every task, by name.
func (s *Service) listTasks(_ context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	answer := struct{ Tasks []taskDocument }{[]taskDocument{}}
	for _, t := range s.options.Tasks.All() {
		doc, err := s.describe(rc, t, false)
		if err != nil {
			return err
		}
		answer.Tasks = append(answer.Tasks, doc)
	}
	return writeJSON(rc, answer)
}

// showTask answers GET /api/tasks/{task} with the task and the file it was made from.
func (s *Service) showTask(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	found, err := s.current(rc)
	if err != nil {
		return err
	}
	doc, err := s.describe(rc, found, true)
	if err != nil {
		return err
	}
	if doc.Since, err = s.describeSince(ctx, found); err != nil {
		return err
	}
	return writeJSON(rc, doc)
}

// applyTask answers PUT /api/tasks/{task}: it makes the task file in the body current, and answers
// once this process uses it. An unchanged file changes nothing.
func (s *Service) applyTask(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	id, now := s.task(rc)
	if id == "" {
		return web.Refuse(fasthttp.StatusNotFound, "The address ends with the task's id, a GUID; `runhook task new` makes one.")
	}
	body, err := web.Body(rc)
	if err != nil {
		return err
	}
	def, err := taskfile.Parse(bytes.Clone(body), "body")
	if invalid, ok := errors.AsType[*taskfile.Invalid](err); ok {
		return refuseFile(invalid)
	}
	if err != nil {
		return err
	}
	if def.ID != id {
		return &web.Problem{
			Kind: "other-task", Title: "The file is another task's", Status: fasthttp.StatusUnprocessableEntity,
			Detail: fmt.Sprintf("The id in the file is %s, and the address names %s; nothing was applied.", def.ID, id),
		}
	}
	if invalid, ok := errors.AsType[*taskfile.Invalid](taskfile.CheckMoments(def, now.Definition, "body", time.Now())); ok {
		return refuseFile(invalid)
	}
	if invalid, ok := errors.AsType[*taskfile.Invalid](taskfile.CheckThen(def, s.options.Tasks.Definitions(), "body")); ok {
		return refuseFile(invalid)
	}
	if taken, with, clashes := s.options.Tasks.Clash(def, nil); clashes {
		return &web.Problem{
			Kind: "id-taken", Title: "Another task has the id", Status: fasthttp.StatusConflict,
			Detail: fmt.Sprintf("The id %s, which the file has, is one of the task %q; nothing was applied. Give the file another one, as `runhook task new` makes it.", taken, with.Name),
		}
	}
	if back := now.Definition != nil && now.ID == id && !now.Deleted && def.WebhookID() != now.WebhookID() &&
		slices.Contains(now.WebhookIDs(), def.WebhookID()) && !slices.Contains(def.WebhookIDs(), now.WebhookID()); back {
		return &web.Problem{
			Kind: "former-id", Title: "The id is a former one", Status: fasthttp.StatusConflict,
			Detail: fmt.Sprintf("The webhook of this task was rotated to %s, and the file is from before; nothing was applied. `runhook task show %s` prints the file as it is now.", now.WebhookID(), id),
		}
	}
	// What is in force already stays whose it is: the folder's, if it came from there.
	unchanged := now.Definition != nil && now.ID == id && !now.Deleted && now.Hash == def.Hash && now.Enabled == def.Enabled
	// A stop must not leave a definition stored and not current.
	changed, err := s.options.Store.Apply(context.WithoutCancel(ctx), def, unchanged && now.FromFolder)
	if errors.Is(err, bus.ErrRotated) {
		return &web.Problem{
			Kind: "former-id", Title: "The id is a former one", Status: fasthttp.StatusConflict,
			Detail: fmt.Sprintf("The task with the id %s was rotated to %s, and the file is from before; nothing was applied. `runhook task show %[2]s` prints the file as it is now.", id, now.ID),
		}
	}
	if err != nil {
		// While the store is away that is what the caller is to be told, whatever it broke.
		return errors.Join(s.options.Store.Ready(ctx), err)
	}
	return s.answerChange(ctx, rc, now, def, changed, taskApplied)
}

// refuseFile answers 422 with every problem of a task file and where it stands.
func refuseFile(invalid *taskfile.Invalid) error {
	p := &web.Problem{
		Kind: "invalid-task-file", Title: "The task file cannot be used", Status: fasthttp.StatusUnprocessableEntity,
		Detail: "Nothing was applied. errors lists what is wrong in the file, by line.",
	}
	for _, fault := range invalid.Problems {
		p.Errors = append(p.Errors, web.Fault{Line: fault.Line, Detail: fault.Message})
	}
	return p
}
