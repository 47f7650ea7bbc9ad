package connection

import (
	"net/url"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// IMIS is a connection to an iMIS site, by an account of it.
type IMIS struct {
	// Name is the connection's.
	Name string
	// URL is the site's: its /token and /api are below it.
	URL                *url.URL
	Username, Password string
	// Private: the site may have an address that is private; see package outward.
	Private bool
	// Limit is how many requests the site gets at once, of all runners. Default 1.
	Limit int
	// Pool is that of the set.
	Pool *Pool
	// User is the run that uses the connection; nil if that is none.
	User User
}

// imis reads what an imis connection needs: url, username and password.
func (r *reader) imis(name string, node *yaml.Node) {
	c := IMIS{Limit: 1}
	const must = "url, username and password"
	r.fields(name, node, section{
		must: "imis must have " + must, has: "an imis connection has " + must + ", and private and limit",
		example:  `{imis: {url: "https://example.imiscloud.com", username: runhook, password: "${IMIS_PASSWORD}"}}`,
		required: []string{"url", "username", "password"},
		read: map[string]func(*yaml.Node){
			"url":      func(value *yaml.Node) { c.URL = r.imisURL(name, value) },
			"username": func(value *yaml.Node) { c.Username = r.credential(name, "username", value) },
			"password": func(value *yaml.Node) {
				c.Password = r.credential(name, "password", value)
				r.secret(value, "the connection %s holds its password itself", name)
			},
			"private": func(value *yaml.Node) { c.Private = r.private(name, value) },
			"limit":   func(value *yaml.Node) { c.Limit = r.limit(name, value) },
		},
	})
	r.set.connections[name] = connection{kind: imisKind, imis: c}
}

func (r *reader) imisURL(name string, node *yaml.Node) *url.URL {
	u := r.url(name, node, "username and password")
	if u == nil {
		return nil
	}
	switch strings.ToLower(path.Base(u.Path)) {
	case "api", "token":
		r.report(node.Line, "the connection %s: url is the site's, without the /%s at its end", name, path.Base(u.Path))
	}
	return u
}

// credential reads a text that is a secret, or as good as one.
func (r *reader) credential(name, field string, node *yaml.Node) string {
	if node.Kind != yaml.ScalarNode || node.ShortTag() == "!!null" {
		r.report(node.Line, "the connection %s: %s must be text", name, field)
		return ""
	}
	text, ok := r.expand(node)
	if ok && text == "" {
		r.report(node.Line, "the connection %s: %s is empty", name, field)
	}
	return text
}

// mostAtOnce is the highest limit that a connection may have.
const mostAtOnce = 100

// limit reads how many requests a site gets at once.
func (r *reader) limit(name string, node *yaml.Node) int {
	limit, err := strconv.Atoi(node.Value)
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!int" || err != nil || limit < 1 || limit > mostAtOnce {
		r.report(node.Line, "the connection %s: limit must be a whole number from 1 to %d: how many requests the site gets at once, of all runners", name, mostAtOnce)
		return 1
	}
	return limit
}
