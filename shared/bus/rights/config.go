package rights

import (
	"fmt"
	"maps"
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
		if !s.Apart {
			b.WriteString(s.user("      "))
		}
	}
	b.WriteString("    ]\n    exports: [\n")
	for _, s := range Services() {
		b.WriteString(s.exports("      "))
	}
	b.WriteString(OfIntegration(integration).exports("      ") + "    ]\n  }\n")
	for _, s := range Services() {
		if s.Apart {
			b.WriteString(s.account("  "))
		}
	}
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
		s := all[i]
		if s.Apart {
			return fmt.Sprintf("# %s %s.\n# The exports of the account RUNHOOK for it:\n%s\n# Its own account:\n%s", name, s.For, s.exports(""), s.account(""))
		}
		return fmt.Sprintf("# %s %s.\n%s", name, s.For, s.user(""))
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
	for _, subject := range slices.Sorted(maps.Keys(may.Makes)) {
		line("    {service: {account: RUNHOOK, subject: %q}, to: %q}", may.Makes[subject], subject)
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
	for _, subject := range slices.Concat(i.Asks, slices.Sorted(maps.Values(i.Makes))) {
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

// Account is the name of the account of a service that is apart.
func (s Service) Account() string { return strings.ToUpper(s.Name) }

// hears are the subjects of what it gets of the account of the store without asking.
func (s Service) hears() (subjects []string) {
	for _, subject := range s.Subscribe {
		if !strings.HasPrefix(subject, Inbox(s.Name)) {
			subjects = append(subjects, subject)
		}
	}
	return subjects
}

// exports are those that the account of the store needs for a service that is apart, besides those for integrations,
// a line each.
func (s Service) exports(indent string) string {
	if !s.Apart {
		return ""
	}
	var b strings.Builder
	forAll := OfIntegration("")
	for _, subject := range slices.Sorted(slices.Values(s.Publish)) {
		if slices.Contains(forAll.Asks, subject) {
			continue
		}
		answers := ""
		if slices.Contains(s.Pulls, subject) {
			answers = ", response_type: stream"
		}
		fmt.Fprintf(&b, "%s{service: %q, accounts: [%s]%s}\n", indent, subject, s.Account(), answers)
	}
	for _, subject := range s.hears() {
		if !slices.Contains(forAll.Follows, subject) {
			fmt.Fprintf(&b, "%s{stream: %q, accounts: [%s]}\n", indent, subject, s.Account())
		}
	}
	return b.String()
}

// account is that of a service that is apart.
func (s Service) account(indent string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s {\n%[1]s  users: [\n%[3]s%[1]s  ]\n%[1]s  imports: [\n", indent, s.Account(), s.user(indent+"    "))
	for _, subject := range slices.Sorted(slices.Values(s.Publish)) {
		fmt.Fprintf(&b, "%s    {service: {account: RUNHOOK, subject: %q}}\n", indent, subject)
	}
	for _, subject := range s.hears() {
		fmt.Fprintf(&b, "%s    {stream: {account: RUNHOOK, subject: %q}}\n", indent, subject)
	}
	fmt.Fprintf(&b, "%s  ]\n%[1]s}\n", indent)
	return b.String()
}

// user is that of a service, with its permissions.
func (s Service) user(indent string) string {
	return fmt.Sprintf("%s{user: %s, password: $%s, permissions: {\n%s%[1]s}}\n", indent, s.Name, variable(s.Name), s.permissions(indent+"  "))
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
	if s.Answers {
		fmt.Fprintf(&b, "%sallow_responses: {max: 1, expires: \"1m\"}\n", indent)
	}
	return b.String()
}
