package broker

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

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
}

// What a guest may take up at most: the server buffers up to 64 MB for a connection that does not read.
const (
	guestConns   = 100
	guestSubs    = 1000 // of a connection
	guestPayload = 64 << 10
)

// admission lets clients in. It is for one server.
type admission struct {
	users map[string]admitted
	// anonymous is nil if nobody comes in without a name.
	anonymous *server.User
	// open is closed once the accounts are there.
	open chan struct{}
}

// admitted is a user and the hash of its password.
type admitted struct {
	password [sha256.Size]byte
	user     *server.User
}

func newAdmission() *admission { return &admission{open: make(chan struct{})} }

// admit makes the accounts of a server that has started, and lets clients in.
func (a *admission) admit(s *server.Server, access Access, own Login) error {
	a.users = map[string]admitted{own.Name: {sha256.Sum256([]byte(own.Password)), &server.User{Username: own.Name}}}
	for _, login := range access.Logins {
		user, err := guest(s, "guest-"+login.Name, login.Guest)
		if err != nil {
			return err
		}
		user.Username = login.Name
		a.users[login.Name] = admitted{sha256.Sum256([]byte(login.Password)), user}
	}
	if access.Guest != nil {
		var err error
		if a.anonymous, err = guest(s, "guests", access.Guest); err != nil {
			return err
		}
	}
	close(a.open)
	return nil
}

// guest is a user with the rights of a guest, in an account of that name; everything if it is nil.
func guest(s *server.Server, account string, rights *Guest) (*server.User, error) {
	if rights == nil {
		return &server.User{}, nil
	}
	own, err := s.RegisterAccount(account)
	if err != nil {
		return nil, fmt.Errorf("set up the NATS account %s: %w", account, err)
	}
	store, claims := s.GlobalAccount(), jwt.NewAccountClaims(account)
	claims.Limits.Conn, claims.Limits.Subs, claims.Limits.Payload, claims.Limits.LeafNodeConn = guestConns, guestSubs, guestPayload, 0
	give := func(kind jwt.ExportType, subject string) {
		claims.Imports.Add(&jwt.Import{Type: kind, Account: store.Name, Subject: jwt.Subject(subject)})
	}
	for answers, subjects := range map[server.ServiceRespType][]string{server.Singleton: rights.Asks, server.Streamed: rights.Pulls} {
		for _, subject := range subjects {
			if err := store.AddServiceExportWithResponse(subject, answers, nil); err != nil {
				return nil, fmt.Errorf("let %s ask %s: %w", account, subject, err)
			}
			give(jwt.Service, subject)
		}
	}
	for _, subject := range rights.Follows {
		if err := store.AddStreamExport(subject, nil); err != nil {
			return nil, fmt.Errorf("let %s follow %s: %w", account, subject, err)
		}
		give(jwt.Stream, subject)
	}
	s.UpdateAccountClaims(own, claims)
	return &server.User{Account: own}, nil
}

// Check is for the server: it decides on a client that connects.
func (a *admission) Check(c server.ClientAuthentication) bool {
	<-a.open
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
