package session

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"
)

// FuzzCookie opens cookies that nobody has made: each is refused.
func FuzzCookie(f *testing.F) {
	k, c := keeper(f, new(memory))
	signed, err := base64.RawURLEncoding.DecodeString(begin(f, k, ann).Cookie(c.now()))
	if err != nil {
		f.Fatal(err)
	}
	clear(signed[plainBytes:]) // nothing leads from here to what a session's is
	for _, cookie := range []string{base64.RawURLEncoding.EncodeToString(signed), "", "AQ", base64.RawURLEncoding.EncodeToString(make([]byte, len(signed)))} {
		f.Add(cookie)
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		if s, err := k.Open(cookie, both); !errors.Is(err, ErrNone) {
			t.Errorf("%q is the session %+v, %v", cookie, s, err)
		}
		if s, err := k.Redeem(t.Context(), cookie, both, false); !errors.Is(err, ErrNone) {
			t.Errorf("%q is a code: %+v, %v", cookie, s, err)
		}
	})
}

// FuzzRecord reads records that nobody has written: an operator signs in and out after any of them.
func FuzzRecord(f *testing.F) {
	store := new(memory)
	k, c := keeper(f, store)
	gone := begin(f, k, ann)
	if _, _, err := k.Link(f.Context(), ann); err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(k.End(f.Context(), gone), k.EndAll(f.Context(), "viewer")); err != nil {
		f.Fatal(err)
	}
	f.Add(store.stored.Data)
	f.Add([]byte(`{"Everyone":18446744073709551615,"Since":{"ann":{"From":1}}}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		store := &memory{stored: Stored{record, 7, time.Now()}}
		k, _ := keeper(t, store)
		k.record.now = c.now
		is := func(s Session, want error) {
			t.Helper()
			if _, err := good(t, k, s.Cookie(c.now()), both...); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%v instead of %v", err, want)
			}
		}
		s := begin(t, k, ann)
		is(s, nil)
		if err := k.End(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		is(s, ErrOver)
		again := begin(t, k, ann)
		is(again, nil)
		if err := k.EndAll(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		is(again, ErrOver)
		is(begin(t, k, ann), nil)
		switch code, _, err := k.Link(t.Context(), ann); {
		case errors.Is(err, ErrMany):
		case err != nil:
			t.Error(err)
		default:
			if _, err := k.Redeem(t.Context(), code, both, false); err != nil {
				t.Error(err)
			}
		}
	})
}
