package imissite

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is what the site does instead of answering one request of its API. A nil Fault answers.
type Fault http.HandlerFunc

// with gives a fault the answer that it may give all the same.
func (f Fault) with(answer http.HandlerFunc, w http.ResponseWriter, r *http.Request) {
	f(w, r.WithContext(context.WithValue(r.Context(), usual{}, answer)))
}

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

// FailWrites has the next requests that would write an entity meet these faults, one each.
func (s *Site) FailWrites(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeFaults = append(s.writeFaults, faults...)
}

// nextFault takes the fault that a request is to meet; s.mu is held.
func (s *Site) nextFault(r *http.Request) (fault Fault) {
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
		return fault
	}
	writes := r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/_")
	if writes && len(s.writeFaults) > 0 {
		fault, s.writeFaults = s.writeFaults[0], s.writeFaults[1:]
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

// usual is the key of the answer that a request would have got without its fault.
type usual struct{}

func answerAsUsual(w http.ResponseWriter, r *http.Request) {
	r.Context().Value(usual{}).(http.HandlerFunc)(w, r)
}

// Slow answers as usual, but only after a while, or not at all where the caller has gone by then.
func Slow(wait time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(wait):
			answerAsUsual(w, r)
		case <-r.Context().Done():
		}
	}
}

// AfterStoring does what is asked for, and then meets the fault instead of saying so.
func AfterStoring(fault Fault) Fault {
	return func(w http.ResponseWriter, r *http.Request) {
		answerAsUsual(unheard{}, r)
		fault(w, r)
	}
}

// unheard takes an answer that nobody gets.
type unheard struct{}

func (unheard) Header() http.Header            { return http.Header{} }
func (unheard) WriteHeader(int)                {}
func (unheard) Write(data []byte) (int, error) { return len(data), nil }

// Expire ends all tokens, that of the request too.
func (s *Site) Expire(w http.ResponseWriter, _ *http.Request) {
	s.ExpireTokens()
	refuse(w, http.StatusUnauthorized, "Authorization has been denied for this request.")
}

// Stall does not answer before the caller has gone.
func Stall(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
