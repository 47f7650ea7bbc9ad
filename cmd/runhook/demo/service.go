package demo

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"runhook/services/runner/connector/imis/imissite"
)

// pageRows is how many airports the service gives on a page.
const pageRows = 500

// Service is what the demo reads and writes on the web: GET /airports gives the airports as pages of JSON,
// of one state with ?state=CA, and beside it is a stand-in for an iMIS site. Only programs of this
// machine reach it.
type Service struct {
	listener net.Listener
	airports []airport
	site     *imissite.Site
}

type airport struct {
	IATA      string          `json:"iata"`
	Name      string          `json:"name"`
	City      string          `json:"city"`
	State     string          `json:"state"`
	Latitude  json.RawMessage `json:"latitude"`
	Longitude json.RawMessage `json:"longitude"`
}

// Listen takes a free port of this machine; Run answers there.
func Listen(ctx context.Context) (*Service, error) {
	file, err := content.Open("files/airports.csv")
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read the demo's airports: %w", err)
	}
	s := &Service{}
	for _, cells := range rows[1:] {
		s.airports = append(s.airports, airport{
			IATA: cells[0], Name: cells[1], City: cells[2], State: cells[3],
			Latitude: json.RawMessage(cells[5]), Longitude: json.RawMessage(cells[6]),
		})
	}
	s.site = newSite(s.airports)
	if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("listen for the demo's web service: %w", err)
	}
	return s, nil
}

// URL is where the service answers.
func (s *Service) URL() string { return "http://" + s.listener.Addr().String() }

// Run answers until ctx ends, and returns when everything is closed.
func (s *Service) Run(ctx context.Context) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /airports", s.page)
	mux.Handle("/", s.site)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = server.Close() // there is nothing to finish: who reads a page asks again
	})
	_ = server.Serve(s.listener) // its end is ctx's, or nobody reads the service any more
	if !stop() {
		<-stopped
	}
}

// Close gives the port back of a service that is not run.
func (s *Service) Close() { _ = s.listener.Close() }

// page answers one page, and where the next one is.
func (s *Service) page(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	state := query.Get("state")
	chosen := s.airports
	if state != "" {
		chosen = nil
		for _, a := range s.airports {
			if strings.EqualFold(a.State, state) {
				chosen = append(chosen, a)
			}
		}
	}
	from, err := strconv.Atoi(query.Get("from"))
	if query.Has("from") && (err != nil || from < 0) {
		http.Error(w, "from is not a number of rows", http.StatusBadRequest)
		return
	}
	from = min(from, len(chosen))
	to := min(from+pageRows, len(chosen))
	answer := struct {
		Total    int       `json:"total"`
		Airports []airport `json:"airports"`
		Next     string    `json:"next,omitempty"`
	}{Total: len(chosen), Airports: append([]airport{}, chosen[from:to]...)}
	if to < len(chosen) {
		answer.Next = "/airports?" + url.Values{"state": {state}, "from": {strconv.Itoa(to)}}.Encode()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a reader that went away needs no page
}
