package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// Cancel is a request that a run ends as soon as it can. It is stored as JSON until the run has ended, and it is
// the cause with which the run's work is interrupted.
type Cancel struct {
	// By is who asks: the name of an admin token, ByLink or ByOverlap.
	By string
	// On is when the request was made, by the clock of whoever took it.
	On time.Time
	// Why is the reason that was given; at most MaxWhy characters, and mostly empty.
	Why string `json:",omitempty"`
	// Run is the later run that takes the canceled one's place, if ByOverlap cancels; else 0.
	Run Number `json:",omitempty"`
}

// Who cancels a run besides the holders of admin tokens: whoever has its CancelUrl, and a later run of its task.
const (
	ByLink    = "link"
	ByOverlap = "overlap"
)

// MaxWhy is how many characters the reason for a cancel may have.
const MaxWhy = 200

// maxBy is how many bytes the name of who cancels may have.
const maxBy = 200

// CheckWhy says what is wrong with a reason, nil for nothing: it goes into the run's document.
func CheckWhy(why string) error {
	switch {
	case !utf8.ValidString(why):
		return errors.New("it is not UTF-8")
	case utf8.RuneCountInString(why) > MaxWhy:
		return fmt.Errorf("it has %d characters, and at most %d are kept", utf8.RuneCountInString(why), MaxWhy)
	}
	for _, letter := range why {
		if !unicode.IsPrint(letter) {
			return errors.New("it must be one line of text, without control characters")
		}
	}
	return nil
}

// Encode returns the bytes to store.
func (c Cancel) Encode() ([]byte, error) { return json.Marshal(c) }

// DecodeCancel reads a request to cancel a run.
func DecodeCancel(data []byte) (Cancel, error) {
	var c Cancel
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("decode a request to cancel: %w", err)
	}
	if c.By == "" || len(c.By) > maxBy || c.On.IsZero() {
		return c, errors.New("the request to cancel does not say by whom it is, or when it was made")
	}
	return c, CheckWhy(c.Why)
}

// Error begins the message of a run that ends because of the request.
func (c *Cancel) Error() string {
	switch c.By {
	case ByLink:
		return "Canceled by its CancelUrl"
	case ByOverlap:
		if c.Run > 0 {
			return "Canceled by run " + c.Run.String() + ", a later one of the task,"
		}
		return "Canceled by a later run of the task"
	}
	return "Canceled by " + c.By
}

// CanceledDocument is the final document of a run that was canceled while no runner held it. left is the
// claim of its last holder, nil if none has started it.
func CanceledDocument(r Request, n Number, left *Claim, c Cancel, now time.Time) Document {
	doc := QueuedDocument(r, n)
	if left == nil {
		doc.endCanceled(c, "before it was started", now)
		return doc
	}
	doc.Resume(*left, now)
	doc.NameRejected(left.Checkpoint.Rejected)
	doc.endCanceled(c, doc.reached()+", while no runner had it", now)
	return doc
}

// SkippedDocument is the final document of a run that its task's overlap never starts, because run r.SkippedFor had not
// ended when it came.
func SkippedDocument(r Request, n Number, now time.Time) Document {
	doc := QueuedDocument(r, n)
	doc.CancelRequestedOn = new(Time(r.CreatedOn))
	doc.End(Canceled, "Skipped, because run "+r.SkippedFor.String()+" of the task had not ended when this one came (overlap: skip)", now)
	return doc
}

// LeftOutDocument is the final document of a run that is never started, because another run of its task had not ended at
// the time at which it was to start.
func LeftOutDocument(r Request, n, open Number, now time.Time) Document {
	doc := QueuedDocument(r, n)
	doc.CancelRequestedOn = new(Time(now))
	doc.End(Canceled, fmt.Sprintf("Not started, because run %s of the task had not ended at the time at which this one was to start (overlap: %s)", open, r.Overlap), now)
	return doc
}

// EndCanceled turns the document of a run under way into the final one: the run is canceled where it is.
func (d *Document) EndCanceled(c Cancel, now time.Time) { d.endCanceled(c, d.reached(), now) }

// endCanceled ends a document of which far says how far the run has come.
func (d *Document) endCanceled(c Cancel, far string, now time.Time) {
	message := c.Error() + " " + far
	if c.Why != "" {
		message += ": " + c.Why
	}
	if d.RowsProcessed > 0 && d.Trigger != DryRun {
		message += ". The rows that it had written stay"
	}
	d.CancelRequestedOn = new(Time(c.On))
	d.End(Canceled, message, now)
}

// reached says how far a run has come.
func (d *Document) reached() string {
	switch {
	case d.RowsRetrieved == 0:
		return "before its first row"
	case d.RowCount > d.RowsRetrieved:
		return "after " + strconv.FormatInt(d.RowsRetrieved, 10) + " of " + strconv.FormatInt(d.RowCount, 10) + " rows"
	case d.RowsRetrieved == 1:
		return "after 1 row"
	}
	return "after " + strconv.FormatInt(d.RowsRetrieved, 10) + " rows"
}
