package client

import (
	"context"
	"io"
	"net/http"

	"runhook/shared/run"
)

// workbookType asks for rows as a workbook.
const workbookType = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

// Rejected copies the rows that a run rejected, as CSV or as a workbook, as they come. After an error
// what was copied is not whole.
func (c *Client) Rejected(ctx context.Context, n run.Number, workbook bool, to io.Writer) error {
	accept := "text/csv"
	if workbook {
		accept = workbookType
	}
	response, err := c.send(ctx, http.MethodGet, "/api/runs/"+n.String()+"/rejected", http.Header{"Accept": {accept}}, nil)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer func() { _ = response.Body.Close() }() // it is read whole, or the connection is dropped
	if response.StatusCode != http.StatusOK {
		got, err := c.whole(ctx, response)
		if err != nil {
			return err
		}
		return problemOf(got)
	}
	out := &keptError{to: to}
	if _, err := io.Copy(out, response.Body); err != nil && out.err == nil {
		return c.unreachable(ctx, err)
	}
	return out.err
}

// keptError is a writer that tells its own error from that of what is copied to it.
type keptError struct {
	to  io.Writer
	err error
}

func (k *keptError) Write(p []byte) (n int, err error) {
	n, k.err = k.to.Write(p)
	return n, k.err
}
