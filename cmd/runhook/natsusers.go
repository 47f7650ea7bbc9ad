package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/bus/rights"
	"runhook/shared/tokenfile"
)

// natsAccess is who may do what at --nats-listen.
type natsAccess struct {
	broker.Access
	// credentials is the file with which operators of this machine come in.
	credentials string
}

// ownCredentials is the file in the data directory with which operators come in.
const ownCredentials = "nats.operator"

// access reads who may do what at --nats-listen: those of --nats-auth-file, or without one every program of this
// machine as an integration; and who can read the file of the data directory, which it makes at the first start.
func (c *serveCommand) access() (*natsAccess, error) {
	a := &natsAccess{credentials: filepath.Join(c.Data, ownCredentials)}
	operator, err := ownOperator(a.credentials)
	if err != nil {
		return nil, err
	}
	a.Logins = append(a.Logins, operator)
	if c.NATSAuthFile == "" {
		a.Guest = guest(rights.AnyConsumer)
		return a, nil
	}
	logins, err := natsLogins(c.NATSAuthFile)
	for _, login := range logins {
		if login.Name == operator.Name {
			err = errors.Join(err, fmt.Errorf("--nats-auth-file %s: the name %s is that of %s: take another", c.NATSAuthFile, login.Name, a.credentials))
		}
	}
	a.Logins = append(a.Logins, logins...)
	return a, err
}

// readmit reads again who may do what. If the files cannot be used, the log says so and nothing changes.
func (c *serveCommand) readmit(b *broker.Broker, log zerolog.Logger) {
	a, err := c.access()
	if err == nil {
		err = b.Admit(a.Logins)
	}
	if err != nil {
		log.Error().Err(err).Msg("the NATS users were not read again; those of before are still let in")
		return
	}
	log.Info().Int("users", len(a.Logins)).Msg("the NATS users were read again")
}

func guest(consumer string) *broker.Guest {
	may := rights.OfIntegration(consumer)
	return &broker.Guest{Asks: may.Asks, Pulls: may.Pulls, Follows: may.Follows, Makes: may.Makes}
}

// ownOperator is the operator whose name and password a file has, which is made if it is not there.
func ownOperator(path string) (broker.Login, error) {
	if err := tokenfile.CreatePrivate(path, "operator:"+rand.Text()); err != nil && !errors.Is(err, fs.ErrExist) {
		return broker.Login{}, fmt.Errorf("make the credentials of the NATS operator: %w", err)
	}
	data, err := tokenfile.ReadPrivate(path)
	if err != nil {
		return broker.Login{}, err
	}
	name, password, ok := strings.Cut(strings.TrimSpace(string(data)), ":")
	if !ok || name == "" || password == "" || strings.ContainsAny(password, "\r\n") {
		return broker.Login{}, fmt.Errorf("%s must hold one line user:password and nothing else; if you remove it, the next start makes another", path)
	}
	return broker.Login{Name: name, Password: password}, nil
}

// natsLogin is a line of --nats-auth-file.
var natsLogin = regexp.MustCompile(`^([A-Za-z0-9_-]{1,64})(\(operator\))?:\s*([!-~]{16,})$`)

// natsLogins reads --nats-auth-file.
func natsLogins(path string) (logins []broker.Login, err error) {
	data, err := tokenfile.ReadPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("--nats-auth-file: %w", err)
	}
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		found := natsLogin.FindStringSubmatch(line)
		switch {
		case found == nil: // the line may be a password
			return nil, fmt.Errorf("--nats-auth-file %s: line %d must be NAME: PASSWORD, or NAME(operator): PASSWORD; a name has letters, digits, _ and -, a password at least 16 visible characters: make one with `openssl rand -hex 32`", path, number)
		case seen[found[1]]:
			return nil, fmt.Errorf("--nats-auth-file %s: line %d: the name %s is there twice", path, number, found[1])
		}
		seen[found[1]] = true
		login := broker.Login{Name: found[1], Password: found[3]}
		if found[2] == "" {
			login.Guest = guest(login.Name)
		}
		logins = append(logins, login)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--nats-auth-file %s: %w", path, err)
	}
	if len(logins) == 0 {
		return nil, fmt.Errorf("--nats-auth-file %s names no user: add a line NAME: PASSWORD", path)
	}
	return logins, nil
}

// String says who may do what.
func (a *natsAccess) String() string {
	var operators, integrations []string
	for _, login := range a.Logins {
		if login.Guest == nil {
			operators = append(operators, login.Name)
		} else {
			integrations = append(integrations, login.Name)
		}
	}
	operators[0] += " (" + a.credentials + ")"
	may := strings.Join(operators, ", ") + " may do everything."
	switch {
	case a.Guest != nil:
		may = "programs of this machine follow runs and read events without a login, nothing else; " + may
	case len(integrations) > 0:
		may = strings.Join(integrations, ", ") + " follow runs and read events with their passwords, nothing else; " + may
	}
	return "NATS: " + may
}
