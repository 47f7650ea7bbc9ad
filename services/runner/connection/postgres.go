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
	// SQLite is a database file's path, absolute, and Postgres a server's URL, with the password in it. One of
	// them is set.
	SQLite, Postgres string
}

// Database returns the database connection of that name. The error is a [*run.Failure] that says
// which connections there are.
func (s *Set) Database(name string) (Database, error) {
	c, err := s.find(name, databaseKinds...)
	if err != nil {
		return Database{}, err
	}
	if c.kind == postgresKind {
		return Database{Name: name, Postgres: c.address}, nil
	}
	return Database{Name: name, SQLite: c.path}, nil
}

// databaseKinds are the kinds of connection that a task may name where it needs a database.
var databaseKinds = []string{sqliteKind, postgresKind}

const postgresExample = `{postgres: "postgres://app:${PGPASSWORD}@db.example.org/crm"}`

// tlsModes are the values of sslmode.
var tlsModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// postgres reads a server's URL. What stands for a variable of the environment is put in once the URL is in its
// parts, so that a password may have any letters. A problem is reported without the text, which may have a secret.
func (r *reader) postgres(name string, node *yaml.Node) {
	if node.Kind != yaml.ScalarNode || node.ShortTag() == "!!null" {
		r.report(node.Line, "the connection %s: postgres must be a URL, as in %s: %s", name, name, postgresExample)
		return
	}
	text, ok := r.expand(node)
	if !ok {
		return
	}
	written, expanded, literal := text, strings.NewReplacer(), false // a URL that comes from the environment as a whole
	if scheme, _, found := strings.Cut(node.Value, "://"); found && !strings.Contains(scheme, "${") {
		written, expanded = masked(node.Value)
		literal = true
	}
	u, err := url.Parse(written)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" {
		r.report(node.Line, "the connection %s: postgres must be a URL, as in %s: %s", name, name, postgresExample)
		return
	}
	address := url.URL{Scheme: "postgres", Host: expanded.Replace(u.Host), Path: expanded.Replace(u.Path)}
	if u.User != nil {
		address.User = url.User(expanded.Replace(u.User.Username()))
		if password, given := u.User.Password(); given {
			address.User = url.UserPassword(address.User.Username(), expanded.Replace(password))
			if literal && password == expanded.Replace(password) && r.set.literal == nil {
				r.set.literal = &Problem{Line: node.Line, Message: "the connection " + name + " holds its password itself"}
			}
		}
	}
	settings := url.Values{}
	for key, values := range u.Query() {
		for _, value := range values {
			settings.Add(key, expanded.Replace(value))
		}
	}
	address.RawQuery = settings.Encode()
	switch mode := settings.Get("sslmode"); {
	case strings.Trim(address.Host, ":") == "" && settings.Get("host") == "":
		r.report(node.Line, "the connection %s: postgres has no host, as in %s: %s", name, name, postgresExample)
	case strings.Trim(address.Path, "/") == "":
		r.report(node.Line, "the connection %s: postgres has no database behind the host, as in %s: %s", name, name, postgresExample)
	case mode != "" && !slices.Contains(tlsModes, mode):
		r.report(node.Line, "the connection %s: sslmode must be one of %s", name, strings.Join(tlsModes, ", "))
	case settings.Has("password"):
		r.report(node.Line, "the connection %s: the password goes in front of the host, as in %s: %s", name, name, postgresExample)
	case u.Fragment != "":
		r.report(node.Line, "the connection %s: postgres cannot have a #; write %%23 for one in a name", name)
	default:
		r.set.connections[name] = connection{kind: postgresKind, address: address.String()}
	}
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
