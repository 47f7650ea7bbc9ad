package connection

import (
	"net/http"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v4"
)

// HTTP is a connection to a web service.
type HTTP struct {
	// Name is the connection's.
	Name string
	// URL is where everything begins that the connection may be used for: scheme, host and perhaps a
	// path, without query.
	URL *url.URL
	// Headers go with every request; credentials are among them.
	Headers http.Header
	// Private: the service may have an address that is private; see package outward.
	Private bool
	// User is the run that uses the connection; nil if that is none.
	User User
}

// http reads what an http connection needs: url, and perhaps headers.
func (r *reader) http(name string, node *yaml.Node) {
	c := HTTP{Headers: http.Header{}}
	r.fields(name, node, section{
		must: "http must have a url", has: "an http connection has url, headers and private",
		example:  `{http: {url: "https://api.example.org"}}`,
		required: []string{"url"},
		read: map[string]func(*yaml.Node){
			"url":     func(value *yaml.Node) { c.URL = r.url(name, value, `headers: {Authorization: "Basic ${…}"}`) },
			"headers": func(value *yaml.Node) { r.headers(name, value, c.Headers) },
			"private": func(value *yaml.Node) { c.Private = r.private(name, value) },
		},
	})
	r.set.connections[name] = connection{kind: httpKind, http: c}
}

// url reads where a web service is; login is how its connection has a user and password. A problem is
// reported without the text, which may have a secret.
func (r *reader) url(name string, node *yaml.Node, login string) *url.URL {
	if node.Kind != yaml.ScalarNode {
		r.report(node.Line, "the connection %s: url must be text", name)
		return nil
	}
	text, ok := r.expand(node)
	if !ok {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		r.report(node.Line, "the connection %s: url must begin with https:// or http:// and a host, as in https://api.example.org/v1", name)
	case u.User != nil:
		r.report(node.Line, `the connection %s: url cannot hold a user and password; give %s instead`, name, login)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		r.report(node.Line, "the connection %s: url cannot have a ? or a #; a query belongs to the task, and a key to headers", name)
	}
	return u
}

// private reads whether a service may have a private address.
func (r *reader) private(name string, node *yaml.Node) (private bool) {
	if node.ShortTag() != "!!bool" || node.Decode(&private) != nil {
		r.report(node.Line, "the connection %s: private must be true or false", name)
	}
	return private
}

func (r *reader) headers(name string, node *yaml.Node, to http.Header) {
	if node.Kind != yaml.MappingNode {
		r.report(node.Line, `the connection %s: headers must be names with values, as in headers: {Authorization: "Bearer ${TOKEN}"}`, name)
		return
	}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if value.Kind != yaml.ScalarNode {
			r.report(value.Line, "the connection %s: the header %s must be text", name, key.Value)
			continue
		}
		text, ok := r.expand(value)
		if isSecret(key.Value, text) {
			r.secret(value, "the connection %s holds the value of the header %s itself", name, key.Value)
		}
		switch {
		case !ok:
		case key.Kind != yaml.ScalarNode || !isHeaderName(key.Value):
			r.report(key.Line, "the connection %s has a header whose name is not one: letters, digits and hyphens", name)
		case strings.ContainsFunc(text, isControl) || strings.TrimSpace(text) == "":
			r.report(value.Line, "the connection %s: the value of the header %s is empty or has a line end or control character in it", name, key.Value)
		case len(to.Values(key.Value)) > 0:
			r.report(key.Line, "the connection %s: the header %s is given twice", name, key.Value)
		default:
			to.Set(key.Value, text)
		}
	}
}

func isHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(letter rune) bool {
		plain := 'a' <= letter && letter <= 'z' || 'A' <= letter && letter <= 'Z' || '0' <= letter && letter <= '9'
		return !plain && !strings.ContainsRune("!#$%&'*+-.^_`|~", letter)
	})
}

func isControl(letter rune) bool { return letter < ' ' && letter != '\t' || letter == 0x7f }
