package client

import (
	"cmp"
	"context"
	"net/url"
	"strconv"
	"time"

	"runhook/shared/audit"
)

// Audit is a page of who did what.
type Audit struct {
	// Lines are the lines, the newest first.
	Lines []audit.Line
	// Next is the Before of the next page, 0 if there is none.
	Next uint64
	// Broken are the numbers of lines before which something was changed or removed.
	Broken []uint64
}

// Audit lists who did what, the newest first. limit is how many; 0 takes the server's default.
func (c *Client) Audit(ctx context.Context, q audit.Query, limit int) (Audit, error) {
	query := url.Values{}
	for name, value := range map[string]string{"who": q.Who, "what": q.What, "task": cmp.Or(string(q.Task), q.Named)} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
	if q.Before > 0 {
		query.Set("before", strconv.FormatUint(q.Before, 10))
	}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	var list Audit
	err := c.get(ctx, "/api/audit?"+query.Encode(), &list)
	return list, err
}
