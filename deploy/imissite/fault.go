package imissite

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Fault is what the site does instead of answering one request of its API. A nil Fault answers.
type Fault http.HandlerFunc

// Fail has the next requests of the API meet these faults, one each.
func (s *Site) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// FailPage has the next requests for the page at an offset meet these faults, one each.
func (s *Site) FailPage(offset int, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageFaults[offset] = append(s.pageFaults[offset], faults...)
}

// nextFault takes the fault that a request is to meet; s.mu is held.
func (s *Site) nextFault(r *http.Request) (fault Fault) {
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
		return fault
	}
	offset, err := strconv.Atoi(r.URL.Query().Get("offset"))
	if waiting := s.pageFaults[offset]; err == nil && len(waiting) > 0 {
		fault, s.pageFaults[offset] = waiting[0], waiting[1:]
	}
	return fault
}

// Times is a fault so many times.
func Times(n int, fault Fault) []Fault {
	faults := make([]Fault, n)
	for i := range faults {
		faults[i] = fault
	}
	return faults
}

// Throttle answers 429. retryAfter is that header; none is sent where it is empty. No body of such
// an answer is documented; this one is inferred.
func Throttle(retryAfter string) Fault {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		refuse(w, http.StatusTooManyRequests, "Too many requests")
	}
}

// Status answers an error.
func Status(status int) Fault {
	return func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, status, "An error occurred. Please contact the administrator.")
	}
}

// Answer answers 200 with a body of the site's own choice, such as a page of HTML.
func Answer(contentType, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

// Redirect answers 302.
func Redirect(to string) Fault {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// Drop ends the connection without an answer.
func Drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// CutShort ends the connection in the middle of an answer.
func CutShort(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", "1000")
	_, _ = fmt.Fprintf(w, `{"$type":"Asi.Soa.Core.DataContracts.PagedResult, Asi.Contracts","Items":{"$values":[`)
	panic(http.ErrAbortHandler)
}

// Stall does not answer before the caller has gone.
func Stall(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
