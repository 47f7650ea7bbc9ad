// Package console is the page of the status service: its tasks and their webhooks, its runs, and who is signed in. It is
// made on the server, and all that reads works without a script; everything that it needs is in the program.
package console

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/services/status"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/session"
	"runhook/shared/web"
)

// Path is where the page begins. The code of a link that signs in stands behind it, after a #.
const Path = status.PagePath

//go:embed files
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"words": words, "when": when, "count": count, "took": took, "sign": signOf, "percent": percent, "startedBy": startedBy, "field": fieldOf, "once": once, "zone": zoned, "short": short, "brief": brief,
}).ParseFS(files, "files/*.html"))

// words is a text in which what stands between backquotes is code.
func words(text string) template.HTML {
	parts := strings.Split(text, "`")
	for i := range parts {
		if parts[i] = template.HTMLEscapeString(parts[i]); i%2 == 1 && i < len(parts)-1 {
			parts[i] = "<code>" + parts[i] + "</code>"
		}
	}
	return template.HTML(strings.Join(parts, ""))
}

// Options says what a page shows, and to whom.
type Options struct {
	// Admin lets operators in; nil lets nobody in.
	Admin *web.Admin
	// Service tells of tasks and runs.
	Service *status.Service
	// Tasks is the view of the tasks.
	Tasks *bus.TaskView
	// Start starts a run for an operator; nil where the page starts none. Its errors are those that a POST is answered with.
	Start func(context.Context, run.Wanted) (run.Number, error)
	// Maker makes tasks of uploaded files; nil where the page makes none.
	Maker Maker
}

// Page is the page of one status service.
type Page struct {
	admin   *web.Admin
	service *status.Service
	tasks   *bus.TaskView
	// startRun is nil where the page starts no runs.
	startRun func(context.Context, run.Wanted) (run.Number, error)
	// maker is nil where the page makes no tasks.
	maker Maker
}

// New makes a page.
func New(o Options) *Page {
	if o.Admin == nil {
		o.Admin = new(web.Admin)
	}
	return &Page{o.Admin, o.Service, o.Tasks, o.Start, o.Maker}
}

// Routes are those of the page, which are answered under the server's own names only.
func (p *Page) Routes() []web.Route {
	get := func(pattern, summary string, handle web.Handler) web.Route {
		return web.Route{Method: fasthttp.MethodGet, Pattern: pattern, Summary: summary, Inner: true, Handler: safely(handle)}
	}
	post := func(pattern, summary string, most int, handle web.Handler) web.Route {
		return web.Route{
			Method: fasthttp.MethodPost, Pattern: pattern, Summary: summary, Inner: true, Handler: safely(handle),
			Refuses: func(head web.Head) bool { return !isForm(head.RequestHeader, most) },
		}
	}
	change := func(pattern, summary string, most int, handle handler) web.Route {
		route := post(Path+pattern, summary, most, p.change(most, handle))
		route.Refuses = func(head web.Head) bool {
			return !isForm(head.RequestHeader, most) || p.admin.Refuses(head.RequestHeader)
		}
		return route
	}
	return []web.Route{
		get(Path, "The tasks", p.within(p.taskList)),
		get(Path+"tasks/{task}", "A task", p.within(p.taskPage)),
		get(Path+"runs", "The runs", p.within(p.runList)),
		get(Path+"runs/{run}", "A run", p.within(p.runPage)),
		{
			Method: fasthttp.MethodGet, Pattern: Path + "runs/{run}/status", Summary: "A run's status, for the page", Inner: true,
			Handler: apart(p.background(p.service.AnswerPoll)),
		},
		get(Path+"runs/{run}/rejected.csv", "The rows that a run rejected", p.within(p.rejected(false))),
		get(Path+"runs/{run}/rejected.xlsx", "The rows that a run rejected, as a workbook", p.within(p.rejected(true))),
		get(Path+"session", "Who is signed in", p.within(p.session)),
		get(Path+"signin", "Sign in to the page", p.within(p.session)),
		change("tasks/{task}/run", "Run a task", maxRunForm, p.runNow),
		p.uploadRoute("tasks/{task}/file", "Take a newer file of a task", p.newerFile),
		get(Path+"tasks/{task}/file/{draft}", "What a task makes of a newer file", p.within(p.newerPage)),
		change("tasks/{task}/file/{draft}", "Have a task read a newer file", maxForm, p.useFile),
		change("tasks/{task}/enable", "Enable a task", maxForm, p.setEnabled(true)),
		change("tasks/{task}/disable", "Disable a task", maxForm, p.setEnabled(false)),
		change("runs/{run}/cancel", "Cancel a run", maxForm, p.cancel),
		change("runs/{run}/correct", "Start a run of the failed rows of another one, corrected", maxFixForm, p.correct),
		p.correctedRoute(),
		change("runs/{run}/again", "Start a run with the values of another one", maxForm, p.again),
		get(Path+"new", "Make a task of a file", p.within(p.newTask)),
		p.uploadRoute("new", "Take a file to make a task of", p.upload),
		get(Path+"new/{draft}", "A task that is being made of a file", p.within(p.draftPage)),
		change("new/{draft}", "Look at a task that is being made, or save it", maxMakeForm, p.make),
		post(Path+"signin", "Sign in to the page", maxForm, p.signIn),
		post(Path+"signout", "Sign out of the page", maxForm, p.signOut),
		get(Path+"style.css", "The page's style", asset("style.css", "text/css; charset=utf-8")),
		get(Path+"console.js", "The page's script", asset("console.js", "text/javascript; charset=utf-8")),
		get(Path+"icon.svg", "The page's icon", asset("icon.svg", "image/svg+xml")),
	}
}

// maxForm is the largest form in bytes, but for those that start runs.
const maxForm = 4 << 10

// isForm reports whether a request has a form of so many bytes at most, which may be read.
func isForm(header *fasthttp.RequestHeader, most int) bool {
	length := header.ContentLength()
	return 0 < length && length <= most && bytes.HasPrefix(header.ContentType(), []byte("application/x-www-form-urlencoded"))
}

var errNoForm = web.Refuse(fasthttp.StatusBadRequest, "This address takes a form of the page (application/x-www-form-urlencoded, at most 4 KiB, or 64 KiB to start a run).")

// safely is apart, and shows errors as pages.
func safely(handle web.Handler) web.Handler {
	return apart(func(ctx context.Context, rc *fasthttp.RequestCtx) error {
		if err := handle(ctx, rc); err != nil {
			return forPeople(err, "problem.html", view{Up: up(rc)})
		}
		return nil
	})
}

// apart sets what keeps the page apart from everything else that a browser has open. The Referrer-Policy is not
// no-referrer, with which browsers send the forms of the page with the Origin null.
func apart(handle web.Handler) web.Handler {
	return func(ctx context.Context, rc *fasthttp.RequestCtx) error {
		header := &rc.Response.Header
		header.Set(fasthttp.HeaderContentSecurityPolicy, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set(fasthttp.HeaderReferrerPolicy, "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set(fasthttp.HeaderCacheControl, "no-store")
		return handle(ctx, rc)
	}
}

// forPeople has a problem shown as a page, unless it is one already.
func forPeople(err error, name string, shown view) error {
	problem := *web.ProblemOf(err)
	if problem.Page != nil {
		return err
	}
	shown.Title, shown.Problem = cmp.Or(shown.Title, problem.Title, fasthttp.StatusMessage(problem.Status)), problem.Detail
	page, fault := render(name, shown)
	if fault != nil {
		return fault
	}
	problem.Page = func(rc *fasthttp.RequestCtx) { write(rc, page) }
	return &problem
}

// lead leads a browser to an address that is relative to the request's.
func lead(rc *fasthttp.RequestCtx, to string) error {
	rc.Response.Header.Set(fasthttp.HeaderLocation, to)
	rc.SetStatusCode(fasthttp.StatusSeeOther)
	return nil
}

// asset answers with a file of the program's, which everybody may read.
func asset(name, kind string) web.Handler {
	data, err := files.ReadFile("files/" + name)
	return func(_ context.Context, rc *fasthttp.RequestCtx) error {
		rc.SetContentType(kind)
		rc.Response.SetBodyRaw(data)
		return err
	}
}

// view is what the templates show.
type view struct {
	Title string
	// Up leads from the page's address to [Path].
	Up string
	// Section is where the page belongs: tasks or runs.
	Section string
	// Problem is what went wrong, empty for nothing.
	Problem string
	// Directly and FromElsewhere tell how the browser came to the sign-in page.
	Directly, FromElsewhere bool

	// Name is that of who is signed in, empty for nobody.
	Name      string
	ReadOnly  bool
	FormToken string
	// Data is what the page itself shows.
	Data any
}

// up leads from the address of a request to [Path], whatever a proxy calls that.
func up(rc *fasthttp.RequestCtx) string {
	return strings.Repeat("../", max(0, strings.Count(string(rc.URI().PathOriginal()), "/")-strings.Count(Path, "/")))
}

// handler answers whoever is signed in. What the page shows is to be put into shown.
type handler func(ctx context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view) error

// within lets in who is signed in, and shows others the sign-in page.
func (p *Page) within(handle handler) web.Handler {
	return func(ctx context.Context, rc *fasthttp.RequestCtx) error {
		arrived, err := p.admin.Arrived(rc)
		if err != nil {
			return err
		}
		visit, err := p.admin.Visitor(ctx, rc)
		if err == nil {
			shown := view{Up: up(rc), Name: visit.Name, ReadOnly: visit.ReadOnly, FormToken: visit.FormToken()}
			if err = handle(ctx, rc, visit, &shown); err != nil {
				return forPeople(err, "problem.html", view{Up: shown.Up, Section: shown.Section, Name: shown.Name, FormToken: shown.FormToken})
			}
			return nil
		}
		signIn := view{Title: signInTitle, Up: up(rc), Directly: arrived == web.Directly, FromElsewhere: arrived == web.FromElsewhere}
		if errors.Is(err, session.ErrNone) {
			rc.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
			return show(rc, fasthttp.StatusUnauthorized, "signin.html", signIn)
		}
		if web.ProblemOf(err).Status == fasthttp.StatusUnauthorized {
			return forPeople(err, "signin.html", signIn)
		}
		return err
	}
}

// background answers requests that the script makes by itself. They do not use the session, and get no page.
func (p *Page) background(handle web.Handler) web.Handler {
	return func(ctx context.Context, rc *fasthttp.RequestCtx) error {
		web.SetBackground(rc)
		err := p.admin.Check(ctx, rc)
		if err == nil {
			err = p.service.Loaded()
		}
		if err == nil {
			err = handle(ctx, rc)
		}
		rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
		return err
	}
}

// sessionFacts are what there is to say of a session.
type sessionFacts struct {
	// Began is when it began, Ends when it does if it is not used, and Latest when it does in any case.
	Began, Ends, Latest time.Time
}

// session answers with who is signed in, and until when.
func (p *Page) session(_ context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view) error {
	shown.Title = "Signed in"
	shown.Data = sessionFacts{visit.Began.UTC(), visit.Ends().UTC(), visit.Began.Add(session.Longest).UTC()}
	return show(rc, fasthttp.StatusOK, "session.html", *shown)
}

const signInTitle = "Sign in"

// form is an error unless a request has a form that was read.
func form(rc *fasthttp.RequestCtx, most int) error {
	if _, err := web.Body(rc); err != nil || !isForm(&rc.Request.Header, most) {
		return errNoForm
	}
	return nil
}

// signIn answers POST /console/signin: it leads to the page, or shows what was wrong.
func (p *Page) signIn(ctx context.Context, rc *fasthttp.RequestCtx) error {
	err := form(rc, maxForm)
	if err == nil {
		err = p.admin.SignIn(ctx, rc, rc.PostArgs().Peek("code"))
	}
	if err != nil {
		return forPeople(err, "signin.html", view{Title: signInTitle})
	}
	return lead(rc, "./")
}

// signOut answers POST /console/signout, which leads to the sign-in page.
func (p *Page) signOut(ctx context.Context, rc *fasthttp.RequestCtx) error {
	if err := form(rc, maxForm); err != nil {
		return err
	}
	if err := p.admin.SignOut(ctx, rc, rc.PostArgs().Has("everywhere")); err != nil {
		return err
	}
	return lead(rc, "./")
}

// show answers with a page.
func show(rc *fasthttp.RequestCtx, status int, name string, shown view) error {
	page, err := render(name, shown)
	if err != nil {
		return err
	}
	rc.SetStatusCode(status)
	write(rc, page)
	return nil
}

func render(name string, shown view) ([]byte, error) {
	var page bytes.Buffer
	if err := templates.ExecuteTemplate(&page, name, shown); err != nil {
		return nil, fmt.Errorf("make a page: %w", err)
	}
	return page.Bytes(), nil
}

func write(rc *fasthttp.RequestCtx, page []byte) {
	rc.SetContentType("text/html; charset=utf-8")
	rc.Response.SetBodyRaw(page)
}
