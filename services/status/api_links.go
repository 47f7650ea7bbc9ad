package status

import (
	"context"

	"github.com/valyala/fasthttp"

	"runhook/shared/run"
	"runhook/shared/web"
)

// linkDocument is a link that signs in to the page, as the admin routes show it.
type linkDocument struct {
	// Path is what stands behind the server's address, with the code.
	Path      string
	Name      string
	ReadOnly  bool
	ExpiresOn run.Time
}

// linkRoute is the route that makes a link for the token that a request carries. A token that only reads may ask for
// one, and a session may not.
func (s *Service) linkRoute() web.Route {
	return web.Route{
		Method: fasthttp.MethodPost, Pattern: "/api/console/links", Summary: "Make a link that signs in to the page", Inner: true,
		Refuses: func(head web.Head) bool { return s.options.Admin.RefusesLink(head.RequestHeader) },
		Handler: func(ctx context.Context, rc *fasthttp.RequestCtx) error {
			link, err := s.options.Admin.Link(ctx, rc)
			if err != nil {
				return err
			}
			return writeJSON(rc, linkDocument{
				Path: PagePath + "#" + link.Code, Name: link.Name, ReadOnly: link.ReadOnly, ExpiresOn: run.Time(link.Until),
			})
		},
	}
}
