package connection

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"runhook/shared/environ"
)

// Database is a connection to a database, of one of the makes.
type Database struct {
	// Name is the connection's.
	Name string
	// SQLite is a database file's path, absolute, and Postgres and MySQL are a server's URL, with the password in it.
	// One of them is set.
	SQLite, Postgres, MySQL string
}

// Database returns the database connection of that name. The error is a [*run.Failure] that says
// which connections there are.
func (s *Set) Database(name string) (Database, error) {
	c, err := s.find(name, databaseKinds...)
	if err != nil {
		return Database{}, err
	}
	switch c.kind {
	case postgresKind:
		return Database{Name: name, Postgres: c.address}, nil
	case mysqlKind:
		return Database{Name: name, MySQL: c.address}, nil
	}
	return Database{Name: name, SQLite: c.path}, nil
}

// databaseKinds are the kinds of connection that a task may name where it needs a database.
var databaseKinds = []string{sqliteKind, postgresKind, mysqlKind}

// serverURL reads the URL of a database's server, with one of those schemes, and its settings. What stands for a
// variable of the environment is put in once the URL is in its parts, so that a password may have any letters. A problem
// is reported without the text, which may have a secret.
func (r *reader) serverURL(name string, node *yaml.Node, kind, example string, schemes ...string) (address *url.URL, settings url.Values, ok bool) {
	malformed := func() {
		r.report(node.Line, "the connection %s: %s must be a URL, as in %s: %s", name, kind, name, example)
	}
	if node.Kind != yaml.ScalarNode || node.ShortTag() == "!!null" {
		malformed()
		return nil, nil, false
	}
	text, ok := r.expand(node)
	if !ok {
		return nil, nil, false
	}
	written, expanded, literal := text, strings.NewReplacer(), false // a URL that comes from the environment as a whole
	if scheme, _, found := strings.Cut(node.Value, "://"); found && !strings.Contains(scheme, "${") {
		written, expanded = masked(node.Value)
		literal = true
	}
	u, err := url.Parse(written)
	if err != nil || !slices.Contains(schemes, u.Scheme) || u.Opaque != "" {
		malformed()
		return nil, nil, false
	}
	address = &url.URL{Scheme: schemes[0], Host: expanded.Replace(u.Host), Path: expanded.Replace(u.Path)}
	if u.User != nil {
		address.User = url.User(expanded.Replace(u.User.Username()))
		if password, given := u.User.Password(); given {
			address.User = url.UserPassword(address.User.Username(), expanded.Replace(password))
			if literal && password == expanded.Replace(password) && r.set.literal == nil {
				r.set.literal = &Problem{Line: node.Line, Message: "the connection " + name + " holds its password itself"}
			}
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		r.report(node.Line, "the connection %s: what is behind the ? of %s must be name=value, with & between; write %%3B for a ; and %%25 for a %%", name, kind)
		return nil, nil, false
	}
	settings = url.Values{}
	for key, values := range query {
		for _, value := range values {
			settings.Add(key, expanded.Replace(value))
		}
	}
	address.RawQuery = settings.Encode()
	if u.Fragment != "" {
		r.report(node.Line, "the connection %s: %s cannot have a #; write %%23 for one in a name", name, kind)
		return nil, nil, false
	}
	return address, settings, true
}

// masked is a text with digits in place of each ${NAME}, which fit into any part of a URL, and what puts the
// variables' values in their place.
func masked(text string) (words string, expanded *strings.Replacer) {
	mask := "9081726354"
	for strings.Contains(text, mask) {
		mask += "5"
	}
	var out strings.Builder
	var values []string
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			out.WriteString(rest)
			return out.String(), strings.NewReplacer(values...)
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			out.WriteString(literal + "${")
			rest = after
			continue
		}
		variable, after, _ := strings.Cut(after, "}")
		value, _ := environ.Expand("${" + variable + "}") // the whole text was expanded before
		word := mask + "0" + strconv.Itoa(100+len(values)) + "0"
		values = append(values, word, value)
		out.WriteString(before + word)
		rest = after
	}
}
