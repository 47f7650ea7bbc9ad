package imissite

import (
	"context"
	"net/http"
	"strconv"
	"strings"
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

// usual is the key of the answer that a request would have got without its fault.
type usual struct{}

// AnswerAsUsual answers a request that meets a fault as if it met none.
func AnswerAsUsual(w http.ResponseWriter, r *http.Request) {
	r.Context().Value(usual{}).(http.HandlerFunc)(w, r)
}

// Expire ends all tokens, that of the request too.
func (s *Site) Expire(w http.ResponseWriter, _ *http.Request) {
	s.ExpireTokens()
	Refuse(w, http.StatusUnauthorized, "Authorization has been denied for this request.")
}
