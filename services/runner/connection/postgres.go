package connection

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

const postgresExample = `{postgres: "postgres://app:${PGPASSWORD}@db.example.org/crm"}`

// tlsModes are the values of sslmode.
var tlsModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// postgres reads a server's URL.
func (r *reader) postgres(name string, node *yaml.Node) {
	address, settings, ok := r.serverURL(name, node, postgresKind, postgresExample, "postgres", "postgresql")
	if !ok {
		return
	}
	switch mode := settings.Get("sslmode"); {
	case strings.Trim(address.Host, ":") == "" && settings.Get("host") == "":
		r.report(node.Line, "the connection %s: postgres has no host, as in %s: %s", name, name, postgresExample)
	case strings.Trim(address.Path, "/") == "":
		r.report(node.Line, "the connection %s: postgres has no database behind the host, as in %s: %s", name, name, postgresExample)
	case mode != "" && !slices.Contains(tlsModes, mode):
		r.report(node.Line, "the connection %s: sslmode must be one of %s", name, strings.Join(tlsModes, ", "))
	case settings.Has("password"):
		r.report(node.Line, "the connection %s: the password goes in front of the host, as in %s: %s", name, name, postgresExample)
	default:
		r.set.connections[name] = connection{kind: postgresKind, address: address.String()}
	}
}
