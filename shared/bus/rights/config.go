package rights

import (
	"fmt"
	"slices"
	"strings"
)

// Admin is the user that may do everything in the account of the store: `runhook init`, `backup` and `restore` need
// one.
const Admin = "init"

// Config is a configuration of nats-server with a user for each service, and for one integration.
func Config() string {
	const integration = "integration"
	var b strings.Builder
	b.WriteString(`# NATS for the services of Runhook, with a user for each and one for an integration: deploy/docs/nats.md.
# The passwords come from the environment, as hashes of ` + "`nats server passwd`" + ` or as they are.
# The permissions, imports and exports are what ` + "`runhook nats-user NAME`" + ` prints.

port: 4222
max_payload: 8MB
max_connections: 1000
jetstream {store_dir: "/var/lib/nats", sync_interval: always}

accounts {
  RUNHOOK {
    jetstream: enabled
    users: [
`)
	fmt.Fprintf(&b, "      {user: %s, password: $%s}\n", Admin, variable(Admin))
	for _, s := range Services() {
		fmt.Fprintf(&b, "      {user: %s, password: $%s, permissions: {\n%s      }}\n", s.Name, variable(s.Name), s.permissions("        "))
	}
	b.WriteString("    ]\n    exports: [\n" + OfIntegration(integration).exports("      ") + "    ]\n  }\n")
	b.WriteString(account(integration, "  ") + "}\n")
	return b.String()
}

// OfUser is what a user may do, in the words of the configuration: that of a service, or else of an integration of
// this name.
func OfUser(name string) string {
	if name == Admin {
		return "# init may do everything in the account RUNHOOK: it makes and changes the streams, backs up and restores.\n"
	}
	all := Services()
	if i := slices.IndexFunc(all, func(s Service) bool { return s.Name == name }); i >= 0 {
		return fmt.Sprintf("# %s %s.\n{user: %s, password: $%s, permissions: {\n%s}}\n", name, all[i].For, name, variable(name), all[i].permissions("  "))
	}
	return fmt.Sprintf(`# %s is an integration: it follows runs, reads events, and has one consumer of EVENTS, of its own name.
# Add to the exports of the account RUNHOOK what is not there yet:
%s
# Add to the accounts:
%s`, name, OfIntegration(name).exports(""), account(name, ""))
}

// variable is the variable with the password of a user.
func variable(user string) string {
	return "NATS_" + strings.ToUpper(strings.ReplaceAll(user, "-", "_")) + "_PASSWORD"
}

// account is the account of an integration.
func account(name, indent string) string {
	may := OfIntegration(name)
	var b strings.Builder
	line := func(text string, values ...any) { fmt.Fprintf(&b, indent+text+"\n", values...) }
	line("INTEGRATION_%s {", name)
	line("  users: [{user: %s, password: $%s}]", name, variable(name))
	line("  imports: [")
	for _, subject := range slices.Concat(may.Asks, may.Pulls) {
		line("    {service: {account: RUNHOOK, subject: %q}}", subject)
	}
	for _, subject := range may.Follows {
		line("    {stream: {account: RUNHOOK, subject: %q}}", subject)
	}
	line("  ]")
	line("}")
	return b.String()
}

// exports are those that the account of the store needs for an integration, a line each.
func (i Integration) exports(indent string) string {
	var b strings.Builder
	for _, subject := range i.Asks {
		fmt.Fprintf(&b, "%s{service: %q}\n", indent, subject)
	}
	for _, subject := range i.Pulls {
		fmt.Fprintf(&b, "%s{service: %q, response_type: stream}\n", indent, subject)
	}
	for _, subject := range i.Follows {
		fmt.Fprintf(&b, "%s{stream: %q}\n", indent, subject)
	}
	return b.String()
}

// permissions are those of a service, a line each.
func (s Service) permissions(indent string) string {
	var b strings.Builder
	list := func(before string, subjects []string, after string) {
		fmt.Fprintf(&b, "%s%s: [\n", indent, before)
		for _, subject := range slices.Sorted(slices.Values(subjects)) {
			fmt.Fprintf(&b, "%s  %q\n", indent, subject)
		}
		fmt.Fprintf(&b, "%s]%s\n", indent, after)
	}
	list("publish: {allow", s.Publish, "")
	list("deny", s.Deny, "}")
	list("subscribe: {allow", s.Subscribe, "}")
	return b.String()
}
