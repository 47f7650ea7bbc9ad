// Package session is about who is signed in to the page: the sessions, the links that begin one, and their ends.
//
// A session is its cookie. It says when the session began and when it was used, and is signed with a key that is
// made of the run key and of the operator's token. So nothing is kept of a session while it lasts: each status
// service that has the same two files knows it, a restart ends none, nobody has to count them, and a token that is
// taken out of its file ends its sessions with it. Who has the run key alone, or may write to the store, makes none.
// What cannot be in a cookie is in one small record of the store, which each change replaces as a whole: the links
// that nobody has used, and the sessions that were ended. Sessions that stand in the store would cost a write for
// each sign-in and one every few minutes of use, and a bound on how many there may be.
package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"time"
)

const (
	// Idle is how long a session lasts without being used.
	Idle = 12 * time.Hour
	// Longest is how long it lasts at most.
	Longest = 7 * 24 * time.Hour
	// LinkFor is how long a link may be used that signs in.
	LinkFor = 10 * time.Minute
)

// The errors of a Keeper, beside those of its Store.
var (
	// ErrNone: a cookie is no session of this store's operators, or a code no link of theirs that is still good.
	ErrNone = errors.New("there is no such session or link")
	// ErrOver: the session has ended, by its time or because it was signed out.
	ErrOver = errors.New("the session has ended")
	// ErrMany: as many links are open as may be.
	ErrMany = errors.New("too many links are open that sign in")
)

// Operator is who has a token.
type Operator struct {
	// Name is the token's, for the log.
	Name string
	// ReadOnly: it changes nothing.
	ReadOnly bool
	// Token is the SHA-256 of the token.
	Token [sha256.Size]byte
}

// Session is an operator who is signed in on one device. It ends at Ends, unless it is used before.
type Session struct {
	Operator
	// Secure: it was begun over TLS, and its cookie comes over TLS alone.
	Secure bool
	// Began is when the operator signed in, and Used when the session was last used, to the second.
	Began, Used time.Time

	id [idBytes]byte
	// since is the generation of sessions that it began in.
	since uint64
	// key signs for it.
	key []byte
}

// Ends is when a session ends that is not used any more.
func (s Session) Ends() time.Time {
	idle, most := s.Used.Add(Idle), s.Began.Add(Longest)
	if most.Before(idle) {
		return most
	}
	return idle
}

// Same reports whether two are the same session, used at different times maybe.
func (s Session) Same(other Session) bool { return s.id == other.id }

// A cookie is its version, its flags, the session's id and generation, the seconds at which it began and was used,
// and the MAC of all that.
const (
	version    = 1
	secureFlag = 1
	idBytes    = 16
	plainBytes = 2 + idBytes + 3*8
)

// Cookie is the value of a cookie that was used now.
func (s Session) Cookie(now time.Time) string {
	plain := append([]byte{version, 0}, s.id[:]...)
	if s.Secure {
		plain[1] = secureFlag
	}
	for _, number := range []uint64{s.since, uint64(s.Began.Unix()), uint64(now.Unix())} {
		plain = binary.BigEndian.AppendUint64(plain, number)
	}
	return base64.RawURLEncoding.EncodeToString(append(plain, mac(s.key, "cookie", plain)...))
}

// FormToken is what a form of the page sends along, so that no page of another site can send it.
func (s Session) FormToken() string {
	return base64.RawURLEncoding.EncodeToString(mac(s.key, "form", s.id[:]))
}

// Proves reports whether a form came with the session's token, in a time that does not depend on how much of it is
// right.
func (s Session) Proves(formToken []byte) bool {
	return subtle.ConstantTimeCompare(formToken, []byte(s.FormToken())) == 1
}

// Keeper begins sessions and tells which there are. It is safe for concurrent use.
type Keeper struct {
	// keys are made of the run keys: the first signs, all verify.
	keys    [][]byte
	storeID string
	record  record
}

// New makes a Keeper. keys are made of the run keys, in their order; they and the store's id are the same in each
// status service of a store.
func New(keys [][]byte, storeID string, store Store) *Keeper {
	return &Keeper{keys: keys, storeID: storeID, record: record{store: store, now: time.Now}}
}

// mac signs a text of one kind.
func mac(key []byte, kind string, text []byte) []byte {
	hash := hmac.New(sha256.New, key)
	hash.Write([]byte(kind + "\n"))
	hash.Write(text)
	return hash.Sum(nil)
}

// keyOf is the key of an operator's sessions and links.
func (k *Keeper) keyOf(operator Operator, key []byte) []byte {
	return mac(key, "operator", append([]byte(k.storeID+"\n"), operator.Token[:]...))
}

// signer finds the operator who has signed a text, and the key.
func (k *Keeper) signer(operators []Operator, kind string, text, signature []byte) (found Operator, key []byte, ok bool) {
	for _, operator := range operators {
		for _, runKey := range k.keys {
			if its := k.keyOf(operator, runKey); hmac.Equal(signature, mac(its, kind, text)) {
				found, key, ok = operator, its, true
			}
		}
	}
	return found, key, ok
}

// Open returns the session of a cookie, if it is one of these operators'. The error is ErrNone or ErrOver; whether it
// was signed out, Check tells.
func (k *Keeper) Open(cookie string, operators []Operator) (Session, error) {
	signed, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(signed) != plainBytes+sha256.Size || signed[0] != version {
		return Session{}, ErrNone
	}
	plain, signature := signed[:plainBytes], signed[plainBytes:]
	operator, key, ok := k.signer(operators, "cookie", plain, signature)
	if !ok {
		return Session{}, ErrNone
	}
	number := func(i int) uint64 { return binary.BigEndian.Uint64(plain[2+idBytes+8*i:]) }
	s := Session{
		Operator: operator, Secure: plain[1]&secureFlag != 0, id: [idBytes]byte(plain[2:]), since: number(0),
		Began: time.Unix(int64(number(1)), 0), Used: time.Unix(int64(number(2)), 0), key: key,
	}
	if !k.record.now().Before(s.Ends()) {
		return Session{}, ErrOver
	}
	return s, nil
}

// Check returns ErrOver if a session was signed out, on whichever status service. While the store is away, it goes by
// what this process has read last, as nobody can sign out then.
func (k *Keeper) Check(ctx context.Context, s Session) error {
	state, err := k.record.look(ctx)
	if err != nil {
		return err
	}
	if s.since < state.generation(s.Name) || state.hasEnded(s.id) {
		return ErrOver
	}
	return nil
}

// Begin begins a session of an operator.
func (k *Keeper) Begin(ctx context.Context, operator Operator, secure bool) (Session, error) {
	state, _, err := k.record.read(ctx)
	if err != nil {
		return Session{}, err
	}
	return k.begin(operator, k.keyOf(operator, k.keys[0]), secure, state), nil
}

func (k *Keeper) begin(operator Operator, key []byte, secure bool, state state) Session {
	now := time.Unix(k.record.now().Unix(), 0)
	s := Session{Operator: operator, Secure: secure, Began: now, Used: now, since: state.generation(operator.Name), key: key}
	_, _ = rand.Read(s.id[:]) // never fails
	return s
}

// codeBytes is how many random bytes the code of a link has.
const codeBytes = 32

// Link makes a code with which an operator signs in once, until a moment. The store has its hash only.
func (k *Keeper) Link(ctx context.Context, operator Operator) (code string, until time.Time, err error) {
	random := make([]byte, codeBytes)
	_, _ = rand.Read(random) // never fails
	code = base64.RawURLEncoding.EncodeToString(random)
	until = time.Unix(k.record.now().Add(LinkFor).Unix(), 0).UTC()
	hash := sha256.Sum256([]byte(code))
	made := link{Hash: hash[:], Until: until}
	made.Signature = mac(k.keyOf(operator, k.keys[0]), "link", made.signed())
	_, err = k.record.change(ctx, func(s *state) error {
		own := 0
		for _, open := range s.Links {
			if _, _, is := k.signer([]Operator{operator}, "link", open.signed(), open.Signature); is {
				own++
			}
		}
		if own >= mostLinksOf || len(s.Links) >= mostLinks {
			return ErrMany
		}
		s.Links = append(s.Links, made)
		return nil
	})
	return code, until, err
}

// signed is what the signature of a link is of.
func (l link) signed() []byte { return strconv.AppendInt(slices.Clone(l.Hash), l.Until.Unix(), 10) }

// Redeem begins the session of the operator for whom a link was made, if nobody has used it before: of several who do
// so at once, one gets it. Otherwise the error is ErrNone.
func (k *Keeper) Redeem(ctx context.Context, code string, operators []Operator, secure bool) (begun Session, err error) {
	hash := sha256.Sum256([]byte(code))
	_, err = k.record.change(ctx, func(s *state) error {
		at := -1
		for i, open := range s.Links {
			if subtle.ConstantTimeCompare(open.Hash, hash[:]) == 1 {
				at = i
			}
		}
		if at < 0 {
			return ErrNone
		}
		operator, key, ok := k.signer(operators, "link", s.Links[at].signed(), s.Links[at].Signature)
		if !ok {
			return ErrNone
		}
		s.Links = append(s.Links[:at:at], s.Links[at+1:]...)
		begun = k.begin(operator, key, secure, *s)
		return nil
	})
	if err != nil {
		return Session{}, err
	}
	return begun, nil
}

// End ends a session, on every status service.
func (k *Keeper) End(ctx context.Context, ending Session) error {
	_, err := k.record.change(ctx, func(s *state) error {
		if s.hasEnded(ending.id) {
			return nil
		}
		own := 0
		for _, e := range s.Ended {
			if e.Name == ending.Name {
				own++
			}
		}
		switch {
		case own >= mostEndedOf: // everybody of this name signs in again
			s.endAll(ending.Name, k.record.now())
		case len(s.Ended) >= mostEnded: // everybody does
			s.Ended, s.Everyone = nil, s.next(k.record.now())
		default:
			s.Ended = append(s.Ended, ended{Session: ending.id[:], Until: k.record.now().Add(Longest + margin).UTC(), Name: ending.Name})
		}
		return nil
	})
	return err
}

// EndAll ends every session of an operator's name that has begun, on every status service.
func (k *Keeper) EndAll(ctx context.Context, name string) error {
	_, err := k.record.change(ctx, func(s *state) error {
		s.endAll(name, k.record.now())
		return nil
	})
	return err
}
