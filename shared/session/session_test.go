package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// memory is a store in memory.
type memory struct {
	mu     sync.Mutex
	stored Stored
	// between is done once between a reading of the record and the writing that follows.
	between func()
	away    error
	passed  []error
}

func (m *memory) Read(context.Context) (Stored, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stored, m.away
}

func (m *memory) Write(_ context.Context, data []byte, inPlaceOf uint64) error {
	if between := m.between; between != nil {
		m.between = nil
		between()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.away != nil:
		return m.away
	case m.stored.Revision != inPlaceOf:
		return ErrChanged
	}
	m.stored = Stored{data, inPlaceOf + 1, time.Now()}
	return nil
}

func (m *memory) PassOver(_ Stored, why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passed = append(m.passed, why)
}

// clock is a time that a test moves on.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time        { return time.Unix(0, c.Load()) }
func (c *clock) pass(by time.Duration) { c.Add(int64(by)) }

var (
	ann    = Operator{Name: "ann", Token: sha256.Sum256([]byte("a-token-of-ann-s"))}
	viewer = Operator{Name: "viewer", ReadOnly: true, Token: sha256.Sum256([]byte("a-token-of-viewer-s"))}
	both   = []Operator{ann, viewer}
	key    = bytes.Repeat([]byte{7}, 32)
)

func keeper(t testing.TB, store Store, keys ...[]byte) (*Keeper, *clock) {
	t.Helper()
	k, c := New(append(keys, key), "s1", store), new(clock)
	c.Store(time.Now().UnixNano())
	k.record.now = c.now
	return k, c
}

func begin(t testing.TB, k *Keeper, operator Operator) Session {
	t.Helper()
	s, err := k.Begin(t.Context(), operator, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// good reports whether a cookie is that of a session at the moment.
func good(t testing.TB, k *Keeper, cookie string, operators ...Operator) (Session, error) {
	t.Helper()
	s, err := k.Open(cookie, operators)
	if err == nil {
		err = k.Check(t.Context(), s)
	}
	return s, err
}

// A cookie is good for its operator, on each service with the same keys, token and store, and on no other.
func TestCookies(t *testing.T) {
	k, c := keeper(t, new(memory))
	began := begin(t, k, viewer)
	cookie := began.Cookie(c.now())
	if got, err := good(t, k, cookie, both...); err != nil || got.Name != "viewer" || !got.ReadOnly || got.Secure || !got.Same(began) || got.FormToken() != began.FormToken() {
		t.Errorf("%+v, %v", got, err)
	}
	secure, err := k.Begin(t.Context(), ann, true)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := good(t, k, secure.Cookie(c.now()), both...); err != nil || !got.Secure || got.Same(began) || got.FormToken() == began.FormToken() {
		t.Errorf("%+v, %v", got, err)
	}
	rotated, _ := keeper(t, new(memory), bytes.Repeat([]byte{8}, 32))
	if _, err := good(t, rotated, cookie, both...); err != nil {
		t.Errorf("with a new key in front: %v", err)
	}
	if _, err := good(t, k, begin(t, rotated, ann).Cookie(c.now()), both...); !errors.Is(err, ErrNone) {
		t.Errorf("of a key that is not there: %v", err)
	}
	elsewhere := New([][]byte{key}, "s2", new(memory))
	renamed := Operator{Name: "viewer", Token: ann.Token}
	for name, is := range map[string]func() (Session, error){
		"in another store":       func() (Session, error) { return good(t, elsewhere, cookie, both...) },
		"without its token":      func() (Session, error) { return good(t, k, cookie, ann) },
		"with another token":     func() (Session, error) { return good(t, k, cookie, renamed) },
		"without any token":      func() (Session, error) { return good(t, k, cookie) },
		"cut off":                func() (Session, error) { return good(t, k, cookie[:40], both...) },
		"longer":                 func() (Session, error) { return good(t, k, cookie+"AAAA", both...) },
		"none":                   func() (Session, error) { return good(t, k, "", both...) },
		"signed as another kind": func() (Session, error) { return good(t, k, began.FormToken(), both...) },
	} {
		if s, err := is(); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	signed, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil {
		t.Fatal(err)
	}
	for at := range signed {
		altered := bytes.Clone(signed)
		altered[at] ^= 1
		if s, err := good(t, k, base64.RawURLEncoding.EncodeToString(altered), both...); err == nil {
			t.Errorf("with byte %d altered: %+v", at, s)
		}
	}
	// What the token may do counts now, not when the session began.
	raised := Operator{Name: "viewer", Token: viewer.Token}
	if got, err := good(t, k, cookie, raised); err != nil || got.ReadOnly {
		t.Errorf("%+v, %v", got, err)
	}
}

// A session ends when it was not used for a while, and after a time in any case.
func TestSessionsEnd(t *testing.T) {
	k, c := keeper(t, new(memory))
	cookie := begin(t, k, ann).Cookie(c.now())
	c.pass(Idle - 2*time.Second)
	used, err := good(t, k, cookie, both...)
	if err != nil {
		t.Fatal(err)
	}
	later := used.Cookie(c.now())
	c.pass(3 * time.Second)
	if _, err := good(t, k, cookie, both...); !errors.Is(err, ErrOver) {
		t.Errorf("idle: %v", err)
	}
	for range Longest/Idle - 1 {
		if used, err = good(t, k, later, both...); err != nil {
			t.Fatal(err)
		}
		later = used.Cookie(c.now())
		c.pass(Idle - 2*time.Second)
	}
	used, err = good(t, k, later, both...)
	if err != nil {
		t.Fatal(err)
	}
	used.Used = c.now()
	later = used.Cookie(c.now())
	if !used.Ends().Equal(used.Began.Add(Longest)) {
		t.Errorf("%s is the end", used.Ends())
	}
	c.pass(used.Ends().Sub(c.now()) - time.Second)
	if _, err := good(t, k, later, both...); err != nil {
		t.Errorf("before its end: %v", err)
	}
	c.pass(time.Second)
	if _, err := good(t, k, later, both...); !errors.Is(err, ErrOver) {
		t.Errorf("after its end: %v", err)
	}
}

func TestSignOut(t *testing.T) {
	store := new(memory)
	k, c := keeper(t, store)
	other, _ := keeper(t, store) // another status service
	one, two, reading := begin(t, k, ann), begin(t, k, ann), begin(t, k, viewer)
	is := func(s Session) bool {
		t.Helper()
		_, err := good(t, other, s.Cookie(c.now()), both...)
		if err != nil && !errors.Is(err, ErrOver) {
			t.Error(err)
		}
		return err == nil
	}
	if !is(one) || !is(two) || !is(reading) {
		t.Error("a session is not known elsewhere")
	}
	for range 2 {
		if err := k.End(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if is(one) || !is(two) || !is(reading) {
		t.Error("not that session alone was signed out")
	}
	if err := k.EndAll(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	if is(one) || is(two) || !is(reading) {
		t.Error("not her sessions alone were signed out")
	}
	if again := begin(t, k, ann); !is(again) {
		t.Error("she cannot sign in again")
	} else if err := other.EndAll(t.Context(), "ann"); err != nil || is(again) {
		t.Errorf("a second time does nothing: %v", err)
	}
	// Nothing stays of what is over.
	c.pass(Longest + margin + time.Second)
	if err := k.EndAll(t.Context(), "viewer"); err != nil {
		t.Fatal(err)
	}
	if now, _, _ := k.record.read(t.Context()); len(now.Ended) != 0 || len(now.Since) != 1 {
		t.Errorf("%+v", now)
	}
	// While the store is away, what was known holds.
	last := begin(t, k, ann)
	store.away = errors.New("away")
	if err := k.Check(t.Context(), last); err != nil {
		t.Error(err)
	}
	if err := k.Check(t.Context(), reading); !errors.Is(err, ErrOver) {
		t.Errorf("who was signed out: %v", err)
	}
	if _, err := k.Begin(t.Context(), ann, false); !errors.Is(err, store.away) {
		t.Error(err)
	}
	if fresh, _ := keeper(t, store); !errors.Is(fresh.Check(t.Context(), last), store.away) {
		t.Error("a service that never read the record lets somebody in")
	}
}

// What another status service changes at the same time is kept.
func TestChangesAtTheSameTime(t *testing.T) {
	store := new(memory)
	k, c := keeper(t, store)
	other, _ := keeper(t, store)
	one := begin(t, k, ann)
	store.between = func() {
		if err := other.End(t.Context(), one); err != nil {
			t.Error(err)
		}
	}
	code, _, err := k.Link(t.Context(), viewer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := good(t, k, one.Cookie(c.now()), both...); !errors.Is(err, ErrOver) {
		t.Errorf("a sign-out is lost: %v", err)
	}
	if _, err := other.Redeem(t.Context(), code, both, false); err != nil {
		t.Errorf("a link is lost: %v", err)
	}
}

// The sign-outs that are remembered are bounded: the next signs everybody out, and nobody back in.
func TestManySignOuts(t *testing.T) {
	store := new(memory)
	k, c := keeper(t, store)
	first, stays := begin(t, k, ann), begin(t, k, viewer)
	if err := k.End(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	_, err := k.record.change(t.Context(), func(s *state) error {
		for i := range mostEnded - 1 {
			s.Ended = append(s.Ended, ended{Session: []byte(strconv.Itoa(i)), Until: c.now().Add(time.Hour)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := good(t, k, stays.Cookie(c.now()), both...); err != nil {
		t.Fatal(err)
	}
	if err := k.End(t.Context(), begin(t, k, ann)); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Session{first, stays} {
		if _, err := good(t, k, s.Cookie(c.now()), both...); !errors.Is(err, ErrOver) {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if _, err := good(t, k, begin(t, k, viewer).Cookie(c.now()), both...); err != nil || len(store.passed) > 0 {
		t.Errorf("%v, %v", err, store.passed)
	}
}

// Who signs in and out again and again ends sessions of his own name only.
func TestManySignOutsOfOne(t *testing.T) {
	store := new(memory)
	k, c := keeper(t, store)
	stays, own := begin(t, k, ann), begin(t, k, viewer)
	for range mostEnded + 2*mostEndedOf {
		s := begin(t, k, viewer)
		if err := k.End(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if _, err := good(t, k, s.Cookie(c.now()), both...); !errors.Is(err, ErrOver) {
			t.Fatalf("one that was signed out: %v", err)
		}
	}
	if _, err := good(t, k, stays.Cookie(c.now()), both...); err != nil {
		t.Errorf("another's session: %v", err)
	}
	if _, err := good(t, k, own.Cookie(c.now()), both...); !errors.Is(err, ErrOver) {
		t.Errorf("the name's own: %v", err)
	}
	state, _, err := k.record.read(t.Context())
	if err != nil || len(state.Ended) > mostEndedOf || len(store.passed) > 0 {
		t.Errorf("the record has %d, %v, %v", len(state.Ended), err, store.passed)
	}
}

// What is signed for one purpose is good for no other.
func TestKindsOfSignatures(t *testing.T) {
	if text := []byte("text"); bytes.Equal(mac(key, "cookie", text), mac(key, "form", text)) || bytes.Equal(mac(key, "cookie", text), mac(text, "cookie", text)) {
		t.Error("two signatures are the same")
	}
}

// A link signs in once, whoever else tries at the same time, within its time, and as long as its token is there.
func TestLinks(t *testing.T) {
	store := new(memory)
	k, c := keeper(t, store)
	code, until, err := k.Link(t.Context(), viewer)
	if random, _ := base64.RawURLEncoding.DecodeString(code); err != nil || len(random) != 32 || !until.Equal(time.Unix(c.now().Add(LinkFor).Unix(), 0)) {
		t.Fatalf("%q until %s, %v", code, until, err)
	}
	if bytes.Contains(store.stored.Data, []byte(code)) {
		t.Error("the store has the code")
	}
	for _, wrong := range []string{"", code + "x", code[1:], string(code[0]^1) + code[1:]} {
		if _, err := k.Redeem(t.Context(), wrong, both, false); !errors.Is(err, ErrNone) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := k.Redeem(t.Context(), code, []Operator{ann}, false); !errors.Is(err, ErrNone) {
		t.Errorf("without its token: %v", err)
	}
	other, _ := keeper(t, store)
	var redeemed, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			s, err := []*Keeper{k, other}[i%2].Redeem(t.Context(), code, both, true)
			switch {
			case err == nil && s.Name == "viewer" && s.ReadOnly && s.Secure:
				redeemed.Add(1)
			case errors.Is(err, ErrNone):
				refused.Add(1)
			default:
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
	all.Wait()
	if redeemed.Load() != 1 || refused.Load() != 29 {
		t.Errorf("%d got in, %d were refused", redeemed.Load(), refused.Load())
	}

	if code, _, err = k.Link(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	c.pass(LinkFor)
	if _, err := k.Redeem(t.Context(), code, both, false); !errors.Is(err, ErrNone) {
		t.Errorf("after its time: %v", err)
	}
	for range mostLinksOf {
		if code, _, err = k.Link(t.Context(), ann); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := k.Link(t.Context(), ann); !errors.Is(err, ErrMany) {
		t.Errorf("one more: %v", err)
	}
	if code, _, err := k.Link(t.Context(), viewer); err != nil {
		t.Errorf("one has taken the room of another: %v", err)
	} else if _, err := k.Redeem(t.Context(), code, both, false); err != nil {
		t.Error(err)
	}
	if _, err := k.Redeem(t.Context(), code, both, false); err != nil {
		t.Error(err)
	}
	if _, _, err := k.Link(t.Context(), ann); err != nil {
		t.Errorf("there is room again, and %v", err)
	}
	// Who may write to the store makes no link of his own, nor lengthens one.
	forger, _ := keeper(t, store, bytes.Repeat([]byte{9}, 32))
	c.pass(LinkFor)
	if code, _, err = k.Link(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	forger.record.now = c.now
	forged, _, err := forger.Link(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Redeem(t.Context(), forged, both, false); !errors.Is(err, ErrNone) {
		t.Errorf("forged: %v", err)
	}
	store.stored.Data = bytes.ReplaceAll(store.stored.Data, []byte(`"Until":"2`), []byte(`"Until":"3`))
	if _, err := k.Redeem(t.Context(), code, both, false); !errors.Is(err, ErrNone) {
		t.Errorf("lengthened: %v", err)
	}
}

// A record that is none of ours ends the sessions of before, wedges nothing, and is told of.
func TestForgedRecords(t *testing.T) {
	later := strconv.FormatInt(time.Now().Add(365*24*time.Hour).UnixMilli(), 10)
	for _, forged := range []string{
		"", "\x00\xff{", "null!", "[]", `{"Links":7}`, `{"Everyone":18446744073709551615}`, `{"Everyone":` + later + `}`,
		`{"Since":{"ann":{"From":18446744073709551615,"Until":"2999-01-01T00:00:00Z"}}}`, `{"Ended":[` + string(bytes.Repeat([]byte(`{},`), mostEnded)) + `{}]}`,
		`{"Links":[` + string(bytes.Repeat([]byte(`{},`), mostLinks)) + `{}]}`,
	} {
		store := new(memory)
		k, c := keeper(t, store)
		before := begin(t, k, ann)
		store.stored = Stored{[]byte(forged), 5, time.Now().Add(time.Millisecond)}
		if _, err := good(t, k, before.Cookie(c.now()), both...); !errors.Is(err, ErrOver) {
			t.Errorf("%.40q: a session of before: %v", forged, err)
		}
		if len(store.passed) == 0 {
			t.Errorf("%.40q is not told of", forged)
		}
		after := begin(t, k, ann)
		if _, err := good(t, k, after.Cookie(c.now()), both...); err != nil {
			t.Errorf("%.40q: a new session: %v", forged, err)
		}
		if err := k.EndAll(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		if _, err := good(t, k, after.Cookie(c.now()), both...); !errors.Is(err, ErrOver) {
			t.Errorf("%.40q: signed out: %v", forged, err)
		}
		if _, err := good(t, k, begin(t, k, ann).Cookie(c.now()), both...); err != nil {
			t.Errorf("%.40q: signed in again: %v", forged, err)
		}
		store.passed = nil
		if _, _, err := k.record.read(t.Context()); err != nil || len(store.passed) != 0 {
			t.Errorf("%.40q: the record is not replaced: %v, %v", forged, err, store.passed)
		}
	}
	// Empty members are harmless.
	store := &memory{stored: Stored{[]byte(`{"Links":[{}],"Ended":[{}],"Since":{"":{}}}`), 1, time.Now()}}
	k, c := keeper(t, store)
	if _, err := good(t, k, begin(t, k, ann).Cookie(c.now()), both...); err != nil {
		t.Error(err)
	}
}
