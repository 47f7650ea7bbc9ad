// Package sitetest is what only tests need of the stand-in for an iMIS site: the faults that it can
// meet requests with.
package sitetest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"runhook/services/runner/connector/imis/imissite"
)

// Times is a fault so many times.
func Times(n int, fault imissite.Fault) []imissite.Fault {
	return slices.Repeat([]imissite.Fault{fault}, n)
}

// Throttle answers 429. retryAfter is that header; none is sent where it is empty. No body of such
// an answer is documented; this one is inferred.
func Throttle(retryAfter string) imissite.Fault {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		imissite.Refuse(w, http.StatusTooManyRequests, "Too many requests")
	}
}

// Status answers an error.
func Status(status int) imissite.Fault {
	return func(w http.ResponseWriter, _ *http.Request) {
		imissite.Refuse(w, status, "An error occurred. Please contact the administrator.")
	}
}

// Answer answers 200 with a body of the site's own choice, such as a page of HTML.
func Answer(contentType, body string) imissite.Fault {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

// Redirect answers 302.
func Redirect(to string) imissite.Fault {
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

// Slow answers as usual, but only after a while, or not at all where the caller has gone by then.
func Slow(wait time.Duration) imissite.Fault {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(wait):
			imissite.AnswerAsUsual(w, r)
		case <-r.Context().Done():
		}
	}
}

// AfterStoring does what is asked for, and then meets the fault instead of saying so.
func AfterStoring(fault imissite.Fault) imissite.Fault {
	return func(w http.ResponseWriter, r *http.Request) {
		imissite.AnswerAsUsual(unheard{}, r)
		fault(w, r)
	}
}

// unheard takes an answer that nobody gets.
type unheard struct{}

func (unheard) Header() http.Header            { return http.Header{} }
func (unheard) WriteHeader(int)                {}
func (unheard) Write(data []byte) (int, error) { return len(data), nil }

// Stall does not answer before the caller has gone.
func Stall(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
