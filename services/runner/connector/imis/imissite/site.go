// Package imissite is a stand-in for an iMIS site, for tests and for the demo: the parts of its REST
// API that run IQAs, describe entities and write them. It is written from the vendor's documentation and from what public clients of
// iMIS do, and is strict: what a real site might let pass is refused here. What is neither documented
// nor seen, and so inferred, is marked so where it is decided.
package imissite

import (
	"bytes"
	"crypto/rand"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// MaxLimit is the longest page that may be asked for. That more is refused, and not cut, is
	// inferred; a site's own cap, see SetPageLimit, cuts.
	MaxLimit = 500
	// defaultLimit is the length of a page where none is asked for.
	defaultLimit = 100
	// maxFailedLogins lock the account.
	maxFailedLogins = 5
	// defaultTokenLife is one that has been seen; others last two weeks.
	defaultTokenLife = 1199 * time.Second
)

// Site answers as an iMIS site with one account, some IQAs and some entities. It is an [http.Handler], and may be
// changed while it serves.
type Site struct {
	username, password string
	routes             *http.ServeMux

	mu           sync.Mutex
	queries      map[string]*Query  // by path, in lower case
	entities     map[string]*entity // by name, in lower case
	partial      bool
	unlabeled    bool
	operations   []string // of Party
	tokens       map[string]time.Time
	tokenSays    time.Duration
	tokenLife    time.Duration
	pageLimit    int
	latency      time.Duration
	logins       int
	failedLogins int
	faults       []Fault
	writeFaults  []Fault
	pageFaults   map[int][]Fault
	requests     []Request
	busy, most   int
	pages        map[string][]byte
}

// Request is one that the site got. Its path is in lower case.
type Request struct {
	Method, Path string
	Query        url.Values
	Body         string
}

// New returns a site with the account and the IQAs.
func New(username, password string, queries ...Query) *Site {
	s := &Site{
		username: username, password: password, routes: http.NewServeMux(), queries: map[string]*Query{}, entities: map[string]*entity{strings.ToLower(partyName): newParty()},
		tokens: map[string]time.Time{}, tokenSays: defaultTokenLife, tokenLife: defaultTokenLife, pageLimit: MaxLimit,
		pageFaults: map[int][]Fault{}, pages: map[string][]byte{}, operations: []string{"FindByEmail", "FindByMatch", "AddressUpdate"},
	}
	s.SetQueries(queries...)
	// Names in URLs are taken in any letter case: seen to be so with /token and /api/iqa.
	s.routes.HandleFunc("POST /token", s.token)
	s.routes.HandleFunc("GET /api/query", s.authorized(s.runQuery))
	s.routes.HandleFunc("GET /api/iqa", s.authorized(s.runIQA))
	s.routes.HandleFunc("POST /api/querydefinition/_execute", s.authorized(s.findDefinition))
	s.routes.HandleFunc("GET /api/queryparameterdefinition", s.authorized(s.listPrompts))
	s.routes.HandleFunc("GET /api/documentsummary", s.authorized(s.listDocuments))
	s.routes.HandleFunc("POST /api/{entity}/_haspermission/{operation}", s.onEntity(s.hasPermission))
	s.routes.HandleFunc("GET /api/boentitydefinition", s.authorized(s.listDefinitions))
	s.routes.HandleFunc("GET /api/metadata/{entity}", s.onEntity(s.metadata))
	s.routes.HandleFunc("GET /api/{entity}", s.onEntity(s.find))
	s.routes.HandleFunc("GET /api/{entity}/{key}", s.onRow(s.show))
	s.routes.HandleFunc("POST /api/{entity}", s.onEntity(s.insert))
	s.routes.HandleFunc("POST /api/{entity}/_validate", s.onEntity(s.validate))
	s.routes.HandleFunc("POST /api/party/_validate", s.onParty(s.validateParty))
	s.routes.HandleFunc("POST /api/party/_execute", s.onParty(s.executeParty))
	s.routes.HandleFunc("PUT /api/{entity}/{key}", s.onRow(s.update))
	s.routes.HandleFunc("DELETE /api/{entity}/{key}", s.onRow(s.delete))
	s.routes.HandleFunc("/api/", s.authorized(func(w http.ResponseWriter, r *http.Request) {
		notImplemented(w, "Service not implemented")
	}))
	return s
}

// SetQueries adds IQAs, or replaces those of the same path.
func (s *Site) SetQueries(queries ...Query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range queries {
		s.queries[strings.ToLower(q.Path)] = &q
	}
	clear(s.pages)
}

// SetUnlabeled makes the site one without QueryParameterDefinition, where prompts go by their property alone.
func (s *Site) SetUnlabeled(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlabeled = on
}

func (s *Site) withoutLabels() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unlabeled
}

// SetTokenLife makes tokens that are issued from now on say that they last so long, and last so long.
func (s *Site) SetTokenLife(said, real time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokenSays, s.tokenLife = said, real
}

// ExpireTokens ends all tokens that were issued, whatever life they had.
func (s *Site) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// SetPageLimit caps pages: one that is asked to be longer is cut, and its Limit says so.
func (s *Site) SetPageLimit(rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageLimit = rows
	clear(s.pages)
}

// SetLatency makes the site wait before each answer of its API.
func (s *Site) SetLatency(latency time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = latency
}

// Logins counts the requests for a token, refused ones too.
func (s *Site) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Requests are those that the site's API got so far, without those for a token.
func (s *Site) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// MostAtOnce is how many requests of its API the site was answering at one time, at most.
func (s *Site) MostAtOnce() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// ServeHTTP answers one request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.URL.Path, r.URL.RawPath = strings.ToLower(r.URL.Path), strings.ToLower(r.URL.RawPath)
	s.routes.ServeHTTP(w, r)
}

// token is the password grant.
func (s *Site) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins++
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/x-www-form-urlencoded" || r.ParseForm() != nil || r.URL.RawQuery != "" {
		tokenError(w, "invalid_request", "")
		return
	}
	if r.PostForm.Get("grant_type") != "password" {
		tokenError(w, "unsupported_grant_type", "")
		return
	}
	right := r.PostForm.Get("username") == s.username && r.PostForm.Get("password") == s.password
	if !right || s.failedLogins >= maxFailedLogins {
		s.failedLogins++
		tokenError(w, "invalid_grant", "The user name or password is incorrect.")
		return
	}
	s.failedLogins = 0
	token, now := rand.Text(), time.Now()
	s.tokens[token] = now.Add(s.tokenLife)
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "bearer", "expires_in": int(s.tokenSays.Seconds()), "userName": s.username,
		".issued": now.UTC().Format(http.TimeFormat), ".expires": now.Add(s.tokenSays).UTC().Format(http.TimeFormat),
	})
}

func tokenError(w http.ResponseWriter, kind, description string) {
	answer := map[string]any{"error": kind}
	if description != "" {
		answer["error_description"] = description
	}
	writeJSON(w, http.StatusBadRequest, answer)
}

// authorized counts a request of the API, does what it was told to do to it, and lets it pass only
// with a token that is good.
func (s *Site) authorized(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		fault, latency := s.begin(r)
		defer s.end()
		if latency > 0 {
			select {
			case <-time.After(latency):
			case <-r.Context().Done():
				return
			}
		}
		if fault != nil {
			fault.with(s.withToken(answer), w, r)
			return
		}
		s.withToken(answer)(w, r)
	}
}

// withToken answers only requests with a token that is good.
func (s *Site) withToken(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		s.mu.Lock()
		ends, known := s.tokens[token]
		s.mu.Unlock()
		if !bearer || !known || !time.Now().Before(ends) {
			Refuse(w, http.StatusUnauthorized, "Authorization has been denied for this request.")
			return
		}
		answer(w, r)
	}
}

func (s *Site) begin(r *http.Request) (Fault, time.Duration) {
	body, _ := io.ReadAll(r.Body) // what is missing of it is refused later
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{r.Method, r.URL.Path, r.URL.Query(), string(body)})
	s.busy++
	s.most = max(s.most, s.busy)
	return s.nextFault(r), s.latency
}

func (s *Site) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
}

// query finds a published IQA by its path, in any letter case.
func (s *Site) query(path string) *Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queries[strings.ToLower(path)]; q != nil && !q.Working {
		return q
	}
	return nil
}
