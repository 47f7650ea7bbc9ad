package jet

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Denials remember what the server has last denied to the user of a connection. It does not answer what it
// denies, and says so beside: who waits for the answer knows only that none comes.
type Denials struct {
	mu   sync.Mutex
	when time.Time
	what string
}

// Hear takes up an error that the server has reported.
func (d *Denials) Hear(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	what := err.Error()
	if _, after, found := strings.Cut(strings.ToLower(what), "violation for "); found {
		what = what[len(what)-len(after):] // publish to "subject", or subscription to "subject"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.when, d.what = time.Now(), what
}

// Explain names the right that the user lacks, if something was denied to it since an attempt began that
// ended with err.
func (d *Denials) Explain(begun time.Time, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil || d.when.Before(begun) {
		return err
	}
	return &Denied{d.what}
}

// Denied is the error of what the user of the connection has no right to.
type Denied struct{ what string }

func (d *Denied) Error() string {
	return fmt.Sprintf("the NATS user of this program lacks a right: %s; grant it in the server's configuration or account, or use other --credentials", d.what)
}
