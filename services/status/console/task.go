package console

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/services/status/history"
	"runhook/shared/bus"
	"runhook/shared/making"
	"runhook/shared/run"
	"runhook/shared/session"
	"runhook/shared/task"
	"runhook/shared/web"
)

// historySize is how many runs the page of a task shows.
const historySize = 5

// taskData is what the page of a task shows.
type taskData struct {
	ID, Name, Description string
	Enabled               bool
	// Fault is why its file is not used, empty if it is.
	Fault string
	// Held is why the task is held; nil if it is not.
	Held *run.Hold
	// Starts: the page can start runs of it. Refused is why the form that was sent started none, empty for nothing.
	Starts  bool
	Refused string
	// Execute and Polling are the addresses of its webhook.
	Execute, Polling string
	// Auth is what a caller has to send, empty for nothing.
	Auth []string
	// Body is the smallest body that starts a run, and Template that with every parameter.
	Body, Template string
	Parameters     []parameterRow
	Snippets       []snippet
	From, To       string
	Action         string
	Key            string
	Text           string
	AppliedOn      time.Time
	Former         []formerRow
	// Schedules are its schedules in words, Next its next times and Came what came of the last ones.
	Schedules []scheduleRow
	Next      []dueRow
	Came      []cameRow
	// Later is what the form has of a time to come.
	Later laterField
	// Uploaded is the file that it reads, if that was uploaded here and can be replaced; MiB is how large that may be.
	Uploaded string
	MiB      int
	Runs     []run.Listed
	More     bool
	Last     *run.Listed
}

// parameterRow is a parameter in the panel of the overload.
type parameterRow struct {
	// Index is its place among the task's.
	Index                    int
	Key, Prompt, Description string
	Required, Multiple       bool
	// Empty says which value counts where a caller sends none, and Default is the task's own.
	Empty, Default string
	// Typed is what was typed into the form that was sent, Wrong what is wrong with it, and First whether it is the first
	// that is wrong.
	Typed, Wrong string
	First        bool
}

// scheduleRow is a schedule of a task.
type scheduleRow struct {
	// Words are its expression and its zone; Values are its parameters, and Jitter how much later it may be, empty for
	// none.
	Words, Values, Jitter string
	Missed                task.Missed
}

// dueRow is a time at which a task is due, by the clocks of its schedule's zone and by UTC. Words are the zone, where
// there are several schedules.
type dueRow struct{ Local, UTC, Words string }

// cameRow is what came of a time: a run, or why there is none.
type cameRow struct {
	Due time.Time
	Run run.Number
	Why string
}

// laterField is a time to come as it was typed, with its zone, and what is wrong with it.
type laterField struct{ At, Zone, Wrong string }

// formerRow is a former id of the webhook.
type formerRow struct {
	ID    string
	Until time.Time
}

// taskPage answers GET /console/tasks/{task} with a task.
func (p *Page) taskPage(ctx context.Context, rc *fasthttp.RequestCtx, _ session.Session, shown *view) error {
	shown.Section = "tasks"
	if err := p.service.Loaded(); err != nil {
		return err
	}
	_, found := p.tasks.Named(web.PathValue(rc, "task"))
	if found.Definition == nil || found.Deleted {
		return errNoTask
	}
	data, err := p.taskData(ctx, rc, found)
	if err != nil {
		return err
	}
	shown.Title, shown.Data = found.Name, data
	return show(rc, fasthttp.StatusOK, "task.html", *shown)
}

func (p *Page) taskData(ctx context.Context, rc *fasthttp.RequestCtx, t bus.Task) (data taskData, err error) {
	data = taskData{
		ID: string(t.ID), Name: t.Name, Description: t.Description, Enabled: t.Enabled, Fault: p.service.FileFault(t.ID),
		Template: wholeBody(t.Definition), Body: smallestBody(t.Definition), Auth: authOf(t.Definition), From: plain(t.Source.From()), To: plain(t.Destination.Place()),
		Text: string(t.Text), AppliedOn: t.AppliedOn, Starts: p.startRun != nil,
	}
	if p.maker != nil {
		data.Uploaded, data.MiB = making.Uploaded(t.Definition), making.MaxUpload>>20
	}
	if held, ok := p.service.Held(t.ID); ok {
		data.Held = &held
	}
	if keyed, ok := t.Destination.(task.Keyed); ok {
		data.Key = strings.Join(keyed.FoundBy(), ", ")
	}
	for i, parameter := range t.Parameters {
		data.Parameters = append(data.Parameters, parameterOf(t.Definition, i, parameter))
	}
	p.schedule(&data, t)
	for _, former := range t.Former() {
		data.Former = append(data.Former, formerRow{string(former.ID), former.Until})
	}
	if data.Execute, data.Polling, err = p.service.Webhooks(rc, t); err != nil {
		return data, err
	}
	data.Snippets = snippets(data.Polling, data.Body)
	runs, err := p.service.Search(ctx, history.Query{Tasks: p.tasks.IDs(t.ID)}, historySize)
	if err != nil {
		return data, err
	}
	data.Runs, data.More = runs.Runs, runs.Next > 0
	if len(data.Runs) > 0 {
		data.Last = &data.Runs[0]
	}
	return data, nil
}

// shownDue is how many times a task shows of those to come, and of those that were.
const shownDue = 10

// schedule says when a task is due, and what came of that.
func (p *Page) schedule(data *taskData, t bus.Task) {
	data.Later.Zone = "UTC"
	for _, s := range t.Schedules {
		row := scheduleRow{Words: s.String(), Missed: s.Missed}
		if s.Jitter > 0 {
			row.Jitter = strings.Replace(strings.Replace(s.Jitter.String(), "m0s", "m", 1), "h0m", "h", 1)
		}
		if s.Cron != nil {
			data.Later.Zone = s.TimeZone
		}
		var values []string
		for _, given := range s.Parameters {
			values = append(values, given.Key)
		}
		row.Values = strings.Join(values, ", ")
		data.Schedules = append(data.Schedules, row)
	}
	next, came := p.service.Due(t, shownDue)
	for _, due := range next {
		local, clock := due.At.In(due.Schedule.Zone()), "15:04"
		if local.Second() > 0 {
			clock = "15:04:05"
		}
		row := dueRow{Local: local.Format("Mon 2 Jan, " + clock), UTC: due.At.UTC().Format("2 Jan, " + clock)}
		if local.Year() > time.Now().Year() {
			row.Local = local.Format("2 Jan 2006, " + clock)
		}
		if len(t.Schedules) > 1 {
			row.Words = due.Schedule.TimeZone
		}
		data.Next = append(data.Next, row)
	}
	for _, one := range came {
		data.Came = append(data.Came, cameRow{one.Due, one.Run, one.Why})
	}
}

func parameterOf(of *task.Definition, i int, parameter task.Parameter) parameterRow {
	row := parameterRow{Index: i, Key: of.Key(i), Prompt: "optional", Description: parameter.Description, Required: parameter.Required, Multiple: parameter.Multiple}
	if parameter.Required {
		row.Prompt = "required"
	}
	if parameter.Multiple {
		row.Prompt += ", several values"
	}
	prompting, prompts := of.Source.(task.Prompting)
	switch {
	case len(parameter.Default) > 0:
		row.Default = strings.Join(parameter.Default, ", ")
		row.Empty = "this task: " + row.Default
	case len(parameter.SourceDefault) > 0:
		row.Empty = "the source: " + strings.Join(parameter.SourceDefault, ", ")
	case parameter.Required:
		row.Empty = "refused"
	case prompts:
		row.Empty = prompting.OwnDefault()
	default:
		row.Empty = "no value"
	}
	return row
}

// manyParameters is how many parameters a form shows whole.
const manyParameters = 12

// Fields are the parameters that the form shows at once, or those that it has folded away: of many, the optional ones
// for which nothing was typed.
func (d taskData) Fields(atOnce bool) (some []parameterRow) {
	for _, parameter := range d.Parameters {
		if open := len(d.Parameters) <= manyParameters || parameter.Required || parameter.Typed != "" || parameter.Wrong != ""; open == atOnce {
			some = append(some, parameter)
		}
	}
	return some
}

// wholeBody is the body of a POST with every parameter, empty.
func wholeBody(of *task.Definition) string {
	var indented strings.Builder
	encoder := json.NewEncoder(&indented)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(json.RawMessage(of.Template())); err != nil {
		return string(of.Template())
	}
	return strings.TrimSpace(indented.String())
}

// smallestBody is the smallest body that starts a run: it has the parameters that must be given, with their default or
// a word in their place.
func smallestBody(of *task.Definition) string {
	var members []string
	for i, parameter := range of.Parameters {
		if !parameter.Required || len(parameter.Default)+len(parameter.SourceDefault) > 0 {
			continue
		}
		value := `"VALUE"`
		if parameter.Multiple {
			value = `["VALUE"]`
		}
		members = append(members, quoted(of.Key(i))+": "+value)
	}
	return `{"QueryParameters": {` + strings.Join(members, ", ") + `}}`
}

// quoted is a text as JSON, as JavaScript and as Python, which also stands between the quotes of a shell.
func quoted(text string) string {
	data, err := json.Marshal(text) // < and & as \u003c and \u0026
	if err != nil {
		return `""`
	}
	return strings.ReplaceAll(string(data), "'", `\u0027`)
}

// authOf says what a caller has to send.
func authOf(of *task.Definition) (ways []string) {
	for _, way := range of.Auth {
		switch {
		case way.HMAC != nil:
			ways = append(ways, "a signature of the body ("+cmp.Or(string(way.HMAC.Scheme), way.HMAC.Header)+")")
		case way.JWT != nil:
			ways = append(ways, "a token of "+way.JWT.Issuer+" (`Authorization: Bearer`)")
		default:
			ways = append(ways, "the key "+way.Key+" (`X-Api-Key`)")
		}
	}
	return ways
}
