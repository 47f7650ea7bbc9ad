package client

import (
	"context"
	"net/http"
	"time"
)

// SignInLink is a link that signs in to the server's page, once.
type SignInLink struct {
	// Path is what [Client.URL] makes the link of.
	Path string
	// Name is as whom it signs in.
	Name      string
	ReadOnly  bool
	ExpiresOn time.Time
}

// SignInLink has the server make a link for the client's token.
func (c *Client) SignInLink(ctx context.Context) (SignInLink, error) {
	var link SignInLink
	got, err := c.ask(ctx, http.MethodPost, "/api/console/links", nil, nil)
	if err == nil {
		err = c.decode(got, &link)
	}
	return link, err
}
