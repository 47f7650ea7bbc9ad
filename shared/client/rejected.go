package client

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"runhook/shared/run"
)

// workbookType asks for rows as a workbook.
const workbookType = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

// maxProblem bounds what is read of an answer that says why there are no rows.
const maxProblem = 1 << 20

// Rejected copies the rows that a run rejected, as CSV or as a workbook, as they come. After an error
// what was copied is not whole.
func (c *Client) Rejected(ctx context.Context, n run.Number, workbook bool, to io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL("/api/runs/"+n.String()+"/rejected"), nil)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	request.Header.Set("Accept", "text/csv")
	if workbook {
		request.Header.Set("Accept", workbookType)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer func() { _ = response.Body.Close() }() // it is read whole, or the connection is dropped
	if response.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(response.Body, maxProblem))
		if err != nil {
			return c.unreachable(ctx, err)
		}
		return problemOf(answer{status: response.StatusCode, header: response.Header, body: body})
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
