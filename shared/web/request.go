package web

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// MaxWait is the longest wait that a Prefer header gets. It is less than the 120 s after which the HTTP action of Power
// Automate and Logic Apps gives up and posts again.
const MaxWait = 100 * time.Second

// PreferredWait reads `Prefer: wait=N` (RFC 7240): how long the client is willing to wait, at most
// MaxWait. 0 means that it did not say so, or not in a way that makes sense.
func PreferredWait(rc *fasthttp.RequestCtx) time.Duration {
	if len(rc.Request.Header.Peek("Prefer")) == 0 {
		return 0
	}
	for _, preference := range headerList(&rc.Request.Header, "Prefer") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, found := strings.Cut(preference, "=")
		if !found || !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		// The first of several counts.
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 32)
		if err != nil {
			return 0
		}
		return min(time.Duration(seconds)*time.Second, MaxWait)
	}
	return 0
}

// SetWaitApplied says in the answer that the client's wait was honored, and with what length; 0 is none.
func SetWaitApplied(rc *fasthttp.RequestCtx, wait time.Duration) {
	if wait > 0 {
		rc.Response.Header.Set("Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
	}
}

// Correlation is what a request says of the larger work that it belongs to, fit to be stored,
// logged and sent on: short, printable, copied. Empty where the request says nothing.
type Correlation struct {
	// ID is X-Correlation-Id, else the workflow run, else the trace's id.
	ID string
	// TraceParent is a valid W3C traceparent.
	TraceParent string
	// WorkflowRunID is x-ms-workflow-run-id, which Logic Apps and Power Automate send.
	WorkflowRunID string
}

// maxCorrelation is the length at which an id is cut off.
const maxCorrelation = 128

// CorrelationOf reads the correlation headers.
func CorrelationOf(header *fasthttp.RequestHeader) Correlation {
	c := Correlation{
		ID:            printable(header.Peek("X-Correlation-Id")),
		WorkflowRunID: printable(header.Peek("X-Ms-Workflow-Run-Id")),
	}
	if parent := header.Peek("Traceparent"); isTraceParent(parent) {
		c.TraceParent = string(parent)
	}
	if c.ID == "" {
		c.ID = c.WorkflowRunID
	}
	if c.ID == "" && c.TraceParent != "" {
		c.ID = c.TraceParent[3:35]
	}
	return c
}

// printable copies text without control characters and what is not UTF-8, at most maxCorrelation bytes.
func printable(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	var clean strings.Builder
	for _, r := range string(text) {
		if r == utf8.RuneError || r < ' ' || (r >= 0x7f && r < 0xa0) || r == '\u2028' || r == '\u2029' {
			continue
		}
		if clean.Len()+utf8.RuneLen(r) > maxCorrelation {
			break
		}
		clean.WriteRune(r)
	}
	return strings.TrimSpace(clean.String())
}

// isTraceParent reports whether text is version-traceid-parentid-flags as W3C Trace Context has it.
func isTraceParent(text []byte) bool {
	if len(text) != 55 || text[2] != '-' || text[35] != '-' || text[52] != '-' || bytes.HasPrefix(text, []byte("ff")) {
		return false
	}
	traceID, parentID := text[3:35], text[36:52]
	for _, part := range [][]byte{text[:2], traceID, parentID, text[53:]} {
		if !allBytes(part, isLowerHex) {
			return false
		}
	}
	zero := func(c byte) bool { return c == '0' }
	return !allBytes(traceID, zero) && !allBytes(parentID, zero)
}

func isLowerHex(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' }
