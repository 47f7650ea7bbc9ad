package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Connection is a connection that tasks use.
type Connection struct {
	Name string
	// Tasks are the names of the tasks that use it.
	Tasks []string
	// Paused: the runs that use it wait. By is who has paused it, Since when, and Why.
	Paused bool
	By     string
	Since  *time.Time
	Why    string
}

// Connections lists the connections that tasks use, by name.
func (c *Client) Connections(ctx context.Context) ([]Connection, error) {
	var list struct{ Connections []Connection }
	err := c.get(ctx, "/api/connections", &list)
	return list.Connections, err
}

// PauseConnection has the runs that use a connection wait. why may be empty. It reports whether that changed anything.
func (c *Client) PauseConnection(ctx context.Context, name, why string) (changed bool, now Connection, err error) {
	query := ""
	if why != "" {
		query = "?why=" + url.QueryEscape(why)
	}
	return c.setPaused(ctx, name, "/pause"+query)
}

// ResumeConnection lets runs use a connection again, and reports whether it was paused.
func (c *Client) ResumeConnection(ctx context.Context, name string) (changed bool, now Connection, err error) {
	return c.setPaused(ctx, name, "/resume")
}

func (c *Client) setPaused(ctx context.Context, name, verb string) (changed bool, now Connection, err error) {
	got, err := c.ask(ctx, http.MethodPost, "/api/connections/"+url.PathEscape(name)+verb, nil, nil)
	if err != nil {
		return false, now, err
	}
	var answer struct {
		Changed    bool
		Connection Connection
	}
	err = c.decode(got, &answer)
	return answer.Changed, answer.Connection, err
}
