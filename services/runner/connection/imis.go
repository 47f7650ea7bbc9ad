package connection

import (
	"cmp"
	"net/url"
	"path"
	"strings"

	"go.yaml.in/yaml/v4"

	"runhook/shared/nearest"
)

// IMIS is a connection to an iMIS site, by an account of it.
type IMIS struct {
	// Name is the connection's.
	Name string
	// URL is the site's: its /token and /api are below it.
	URL                *url.URL
	Username, Password string
	// Pool is that of the set.
	Pool *Pool
}

// imis reads what an imis connection needs: url, username and password.
func (r *reader) imis(name string, node *yaml.Node) {
	const example = `{imis: {url: "https://example.imiscloud.com", username: runhook, password: "${IMIS_PASSWORD}"}}`
	if node.Kind != yaml.MappingNode {
		r.report(node.Line, `the connection %s: imis must have url, username and password, as in %s: %s`, name, name, example)
		return
	}
	var c IMIS
	seen := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case seen[key.Value]:
			r.report(key.Line, "the connection %s: %s is given twice", name, key.Value)
		case key.Value == "url":
			c.URL = r.imisURL(name, value)
		case key.Value == "username":
			c.Username = r.credential(name, key.Value, value)
		case key.Value == "password":
			c.Password = r.credential(name, key.Value, value)
		default:
			hint := nearest.Hint(key.Value, []string{"url", "username", "password"})
			hint = cmp.Or(hint, "; an imis connection has url, username and password")
			r.report(key.Line, "the connection %s has the unknown field %q%s", name, key.Value, hint)
		}
		seen[key.Value] = true
	}
	for _, field := range []string{"url", "username", "password"} {
		if !seen[field] {
			r.report(node.Line, "the connection %s: %s is missing, as in %s: %s", name, field, name, example)
		}
	}
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
