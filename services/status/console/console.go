// Package console is the page of the status service: who is signed in, and until when. It is made on the server and
// works without a script; everything that it needs is in the program.
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

	"runhook/shared/session"
	"runhook/shared/web"
)

// Path is where the page begins. The code of a link that signs in stands behind it, after a #.
const Path = "/console/"

//go:embed files
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{"words": words}).ParseFS(files, "files/*.html"))

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

// Page is the page of one status service.
type Page struct{ admin *web.Admin }

// New makes a page. admin lets operators in; nil lets nobody in.
func New(admin *web.Admin) *Page {
	if admin == nil {
		admin = new(web.Admin)
	}
	return &Page{admin}
}

// Routes are those of the page, which are answered under the server's own names only.
func (p *Page) Routes() []web.Route {
	get := func(pattern, summary string, handle web.Handler) web.Route {
		return web.Route{Method: fasthttp.MethodGet, Pattern: pattern, Summary: summary, Inner: true, Handler: safely(handle)}
	}
	post := func(pattern, summary string, handle web.Handler) web.Route {
		return web.Route{
			Method: fasthttp.MethodPost, Pattern: pattern, Summary: summary, Inner: true, Handler: safely(handle),
			Refuses: func(head web.Head) bool { return !isForm(head.RequestHeader) },
		}
	}
	return []web.Route{
		get(Path, "The page", p.home),
		get(Path+"signin", "The page", p.home),
		post(Path+"signin", "Sign in to the page", p.signIn),
		post(Path+"signout", "Sign out of the page", p.signOut),
		get(Path+"style.css", "The page's style", asset("style.css", "text/css; charset=utf-8")),
		get(Path+"console.js", "The page's script", asset("console.js", "text/javascript; charset=utf-8")),
		get(Path+"icon.svg", "The page's icon", asset("icon.svg", "image/svg+xml")),
	}
}

// maxForm is the largest form in bytes.
const maxForm = 4 << 10

// isForm reports whether a request has a form that may be read.
func isForm(header *fasthttp.RequestHeader) bool {
	length := header.ContentLength()
	return 0 < length && length <= maxForm && bytes.HasPrefix(header.ContentType(), []byte("application/x-www-form-urlencoded"))
}

var errNoForm = web.Refuse(fasthttp.StatusBadRequest, "This address takes a form of the page (application/x-www-form-urlencoded, at most 4 KiB).")

// safely sets what keeps the page apart from everything else that a browser has open. The Referrer-Policy is not
// no-referrer, with which browsers send the forms of the page with the Origin null.
func safely(handle web.Handler) web.Handler {
	return func(ctx context.Context, rc *fasthttp.RequestCtx) error {
		header := &rc.Response.Header
		header.Set(fasthttp.HeaderContentSecurityPolicy, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set(fasthttp.HeaderReferrerPolicy, "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set(fasthttp.HeaderCacheControl, "no-store")
		if err := handle(ctx, rc); err != nil {
			return forPeople(err, "problem.html", view{})
		}
		return nil
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
	// Problem is what went wrong, empty for nothing.
	Problem string
	// Directly and FromElsewhere tell how the browser came to the sign-in page.
	Directly, FromElsewhere bool

	// Name is that of who is signed in, empty for nobody.
	Name     string
	ReadOnly bool
	// Began is when the session began, Ends when it does if it is not used, and Latest when it does in any case.
	Began, Ends, Latest time.Time
	FormToken           string
}

// home answers GET /console/ with who is signed in, or with the sign-in page.
func (p *Page) home(ctx context.Context, rc *fasthttp.RequestCtx) error {
	arrived, err := p.admin.Arrived(rc)
	if err != nil {
		return err
	}
	visit, err := p.admin.Visitor(ctx, rc)
	if err == nil {
		return show(rc, fasthttp.StatusOK, "home.html", view{
			Title: "Signed in", Name: visit.Name, ReadOnly: visit.ReadOnly, FormToken: visit.FormToken(),
			Began: visit.Began.UTC(), Ends: visit.Ends().UTC(), Latest: visit.Began.Add(session.Longest).UTC(),
		})
	}
	signIn := view{Title: signInTitle, Directly: arrived == web.Directly, FromElsewhere: arrived == web.FromElsewhere}
	if errors.Is(err, session.ErrNone) {
		rc.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
		return show(rc, fasthttp.StatusUnauthorized, "signin.html", signIn)
	}
	if web.ProblemOf(err).Status == fasthttp.StatusUnauthorized {
		return forPeople(err, "signin.html", signIn)
	}
	return err
}

const signInTitle = "Sign in"

// form is an error unless a request has a form that was read.
func form(rc *fasthttp.RequestCtx) error {
	if _, err := web.Body(rc); err != nil || !isForm(&rc.Request.Header) {
		return errNoForm
	}
	return nil
}

// signIn answers POST /console/signin: it leads to the page, or shows what was wrong.
func (p *Page) signIn(ctx context.Context, rc *fasthttp.RequestCtx) error {
	err := form(rc)
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
	if err := form(rc); err != nil {
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
