package httpjson

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// maxReply bounds what is read of an answer to rows, and maxAnswer how many values it has.
const (
	maxReply  = 16 << 20
	maxAnswer = 1_000_000
)

// Destination sends rows as JSON, each batch in one request: an object, or an array of them where the
// task has batch above 1. It belongs to one goroutine.
type Destination struct {
	client  *client
	url     *url.URL
	method  string
	array   bool
	dry     bool
	place   string
	run     string
	columns []string

	rows []*row.Row
	body []byte
	// sent are the rows that body has, once they are needed.
	sent []any
}

// OpenDestination prepares to send. run names the run in the requests' idempotency keys, columns are
// the mapping's. Whatever is wrong is a [*run.Failure].
func OpenDestination(connections *connection.Set, to *task.HTTPDestination, run string, columns []string) (*Destination, error) {
	return openDestination(connections, to, run, columns, usualPatience)
}

func openDestination(connections *connection.Set, to *task.HTTPDestination, run string, columns []string, p patience) (*Destination, error) {
	service, err := connections.HTTP(to.Connection)
	if err != nil {
		return nil, err
	}
	d := &Destination{
		client: newClient(service, p), method: to.Method, array: to.Batch > 1, run: run, columns: columns,
		place: to.Method + " " + to.Path + " of connection " + to.Connection,
	}
	if d.url, err = d.client.locate("destination.http.path", to.Path); err != nil {
		return nil, err
	}
	return d, nil
}

// Try is OpenDestination for a dry run: the connection is looked up, every row becomes JSON, and
// nothing is sent.
func Try(connections *connection.Set, to *task.HTTPDestination, columns []string) (*Destination, error) {
	d, err := OpenDestination(connections, to, "", columns)
	if err == nil {
		d.dry = true
	}
	return d, err
}

// Write sends the batch's rows in one request. A request whose answer is lost is sent again, and rows
// may have arrived though the run fails.
func (d *Destination) Write(ctx context.Context, batch *row.Batch, before func(row int64) error) error {
	d.encode(batch)
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(d.rows) == 0 || d.dry {
		return nil
	}
	if err := before(batch.Last()); err != nil {
		return err
	}
	r, err := d.send(ctx, func() error { return before(batch.Last()) })
	if err != nil {
		return err
	}
	return d.settle(r)
}

// encode makes the request's body of the rows that can be written.
func (d *Destination) encode(batch *row.Batch) {
	d.rows, d.body = d.rows[:0], d.body[:0]
	if d.array {
		d.body = append(d.body, '[')
	}
	for r := range batch.Pending() {
		size := len(d.body)
		if len(d.rows) > 0 {
			d.body = append(d.body, ',')
		}
		var fault *row.Fault
		if d.body, fault = row.AppendObject(d.body, d.columns, r.Values); fault != nil {
			d.body = d.body[:size]
			r.Fail(fault)
			continue
		}
		r.Outcome = row.Inserted
		d.rows = append(d.rows, r)
	}
	if d.array {
		d.body = append(d.body, ']')
	}
}

// reply is an answer to rows.
type reply struct {
	status int
	body   []byte
	// html: it says that it is a page for people.
	html bool
}

// send sends the body until it is answered for good, and asks before each time but the first. The error
// ends the run.
func (d *Destination) send(ctx context.Context, before func() error) (reply, error) {
	for made := 1; ; made++ {
		got, err := d.post(ctx)
		if err == nil {
			return got, nil
		}
		refused, ok := errors.AsType[*refusal](err)
		if !ok {
			return reply{}, err // ctx's
		}
		if refused.passing && d.client.rest(ctx, made, refused.wait) {
			if err := before(); err != nil {
				return reply{}, err
			}
			continue
		}
		if ctx.Err() != nil {
			return reply{}, ctx.Err()
		}
		why := refused.why
		if refused.passing && made > 1 {
			why += ", asked " + strconv.Itoa(made) + " times"
		}
		if refused.passing || refused.taken {
			why += "; the request with row " + strconv.FormatInt(d.rows[0].Number, 10) + " may have arrived all the same"
		}
		return reply{}, refused.failure(d.place, why)
	}
}

// post sends the body once. The error is a *refusal, or ctx's.
func (d *Destination) post(ctx context.Context) (reply, error) {
	usual := map[string]string{"Content-Type": "application/json", "Idempotency-Key": d.idempotencyKey()}
	ctx, end := wait.Linger(ctx, d.client.patience.linger)
	defer end()
	response, err := d.client.ask(ctx, d.method, d.url, d.body, usual)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }() // it only ends the request
	got := reply{status: response.StatusCode, html: strings.Contains(response.Header.Get("Content-Type"), "html")}
	if ends(got.status) {
		return reply{}, d.client.refused(response)
	}
	// Without its end an answer still has its status.
	if got.body, err = io.ReadAll(io.LimitReader(response.Body, maxReply+1)); err != nil && ctx.Err() != nil {
		return reply{}, ctx.Err()
	}
	if len(got.body) > maxReply {
		return reply{}, &refusal{why: fmt.Sprintf("is answered with more than %d MiB", maxReply>>20), taken: true}
	}
	return got, nil
}

// idempotencyKey is the same for the same rows of the same run, whoever sends them.
func (d *Destination) idempotencyKey() string {
	hash := sha256.New()
	hash.Write([]byte(d.run + "\n" + strconv.FormatInt(d.rows[0].Number, 10) + "\n"))
	hash.Write(d.body)
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// ends reports whether a status is not about the rows that were sent: other rows would get it too.
func ends(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusProxyAuthRequired, http.StatusRequestTimeout,
		http.StatusGone, http.StatusUnsupportedMediaType, http.StatusTooEarly, http.StatusUpgradeRequired, http.StatusTooManyRequests:
		return true
	}
	return status < 200 || 300 <= status && status < 400 || status >= 500
}

// words are a service's, without the credentials that were sent to it.
func (d *Destination) words(text string) string {
	for _, values := range d.client.to.Headers {
		for _, value := range values {
			_, token, _ := strings.Cut(value, " ") // a service may repeat it without its scheme
			for _, secret := range []string{value, token} {
				if len(secret) >= 8 {
					text = strings.ReplaceAll(text, secret, "…")
				}
			}
		}
	}
	return strings.TrimSpace(text)
}

// Finish has nothing left to do: every batch is answered.
func (d *Destination) Finish(context.Context) error { return nil }

// Close leaves what was sent.
func (d *Destination) Close() (kept bool) {
	d.client.close()
	return true
}
