package broker

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
)

// Access says who may do what at Listen. This process has a user of its own besides.
type Access struct {
	// Logins are those who come in by name and password.
	Logins []Login
	// Guest is what everybody may do who comes without a name; nil lets nobody in so.
	Guest *Guest
}

// Login is a user with a password.
type Login struct {
	Name, Password string
	// Guest is what the user may do; nil for everything.
	Guest *Guest
}

// Guest is what a user may do who is kept out of the store's own account. Its rights are imports of an account of
// its own, because permissions inside of the store's would not keep it apart.
type Guest struct {
	// Asks are the subjects on which it may ask the store, Pulls those of which the answer is many messages, within
	// two minutes, and Follows those of which it gets messages without asking.
	Asks, Pulls, Follows []string
	// Makes are subjects on which it may ask too, each with the one on which somebody in the store's account answers.
	Makes map[string]string
}

// What a guest may take up at most: the server buffers up to 64 MB for a connection that does not read.
const (
	guestConns   = 100
	guestSubs    = 1000 // of a connection
	guestPayload = 64 << 10
)

// admission lets clients in. It is for one server.
type admission struct {
	// open is closed once the accounts are there.
	open chan struct{}

	mu    sync.RWMutex
	users map[string]admitted
	// anonymous is nil if nobody comes in without a name.
	anonymous *server.User
}

// admitted is a user, who it is, and the hash of its password.
type admitted struct {
	login    Login
	password [sha256.Size]byte
	user     *server.User
}

func newAdmission() *admission { return &admission{open: make(chan struct{})} }

// admit makes the accounts of a server that has started, and says who is let in from now on. gone are those who are
// not any more, as they were.
func (a *admission) admit(s *server.Server, access Access, own Login) (gone map[string]bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	users := map[string]admitted{}
	gone = map[string]bool{}
	for _, login := range access.Logins {
		if login.Name == own.Name { // it would take the place of this process
			return nil, fmt.Errorf("the NATS user %s is that of this process: take another name", login.Name)
		}
	}
	for _, login := range append([]Login{own}, access.Logins...) {
		if is, ok := a.users[login.Name]; ok && reflect.DeepEqual(is.login, login) {
			users[login.Name] = is
			continue
		}
		user, err := guest(s, "guest-"+login.Name, login.Guest)
		if err != nil {
			return nil, err
		}
		user.Username = login.Name
		users[login.Name] = admitted{login, sha256.Sum256([]byte(login.Password)), user}
	}
	if access.Guest != nil && a.anonymous == nil {
		if a.anonymous, err = guest(s, "guests", access.Guest); err != nil {
			return nil, err
		}
	}
	for name, was := range a.users {
		gone[name] = users[name].user != was.user
	}
	if a.users == nil {
		close(a.open)
	}
	a.users = users
	return gone, nil
}

// Admit has only those let in from now on whom the logins are of, and cuts off who is not among them any more, or has
// another password or other rights. Who comes without a name may do what he could before.
func (b *Broker) Admit(logins []Login) error {
	b.letting.Lock()
	defer b.letting.Unlock()
	access := *b.options.Access
	access.Logins = logins
	s := b.Server()
	gone, err := b.admission.admit(s, access, b.Own)
	if err != nil {
		return err
	}
	b.options.Access = &access
	all, err := s.Connz(&server.ConnzOptions{Username: true, Limit: mostListed})
	if err != nil {
		return fmt.Errorf("list the NATS connections: %w", err)
	}
	for _, conn := range all.Conns {
		if gone[conn.AuthorizedUser] {
			_ = s.DisconnectClientByID(conn.Cid) // it may have left
		}
	}
	return nil
}

// mostListed is above the number of connections that there can be.
const mostListed = 1 << 20

// guest is a user with the rights of a guest, in an account of that name; everything if it is nil.
func guest(s *server.Server, account string, rights *Guest) (*server.User, error) {
	if rights == nil {
		return &server.User{}, nil
	}
	own, err := s.RegisterAccount(account)
	if errors.Is(err, server.ErrAccountExists) { // of who was let in before, with the same rights
		if own, err = s.LookupAccount(account); err == nil {
			return &server.User{Account: own}, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("set up the NATS account %s: %w", account, err)
	}
	store, claims := s.GlobalAccount(), jwt.NewAccountClaims(account)
	claims.Limits.Conn, claims.Limits.Subs, claims.Limits.Payload, claims.Limits.LeafNodeConn = guestConns, guestSubs, guestPayload, 0
	give := func(kind jwt.ExportType, subject, as string) {
		claims.Imports.Add(&jwt.Import{Type: kind, Account: store.Name, Subject: jwt.Subject(subject), LocalSubject: jwt.RenamingSubject(as)})
	}
	ask := func(subject, as string, answers server.ServiceRespType) error {
		if err := store.AddServiceExportWithResponse(subject, answers, nil); err != nil {
			return fmt.Errorf("let %s ask %s: %w", account, subject, err)
		}
		give(jwt.Service, subject, as)
		return nil
	}
	for answers, subjects := range map[server.ServiceRespType][]string{server.Singleton: rights.Asks, server.Streamed: rights.Pulls} {
		for _, subject := range subjects {
			if err := ask(subject, "", answers); err != nil {
				return nil, err
			}
		}
	}
	for as, subject := range rights.Makes {
		if err := ask(subject, as, server.Singleton); err != nil {
			return nil, err
		}
	}
	for _, subject := range rights.Follows {
		if err := store.AddStreamExport(subject, nil); err != nil {
			return nil, fmt.Errorf("let %s follow %s: %w", account, subject, err)
		}
		give(jwt.Stream, subject, "")
	}
	s.UpdateAccountClaims(own, claims)
	return &server.User{Account: own}, nil
}

// Check is for the server: it decides on a client that connects.
func (a *admission) Check(c server.ClientAuthentication) bool {
	<-a.open
	a.mu.RLock()
	defer a.mu.RUnlock()
	options := c.GetOpts()
	if options.Username == "" && options.Password == "" && options.Token == "" && options.JWT == "" && options.Nkey == "" {
		if a.anonymous != nil {
			c.RegisterUser(a.anonymous)
		}
		return a.anonymous != nil
	}
	known, password := a.users[options.Username], sha256.Sum256([]byte(options.Password))
	if subtle.ConstantTimeCompare(known.password[:], password[:]) != 1 || known.user == nil {
		return false
	}
	c.RegisterUser(known.user)
	return true
}
