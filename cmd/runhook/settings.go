package main

import (
	"fmt"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"runhook/shared/nearest"
	"runhook/shared/run"
)

// otherVariables are those that no flag has: an admin token, and what the tests tell each other.
var otherVariables = []string{"RUNHOOK_TOKEN"}

// prefix is how the variables of all flags begin.
const prefix, testVariables = "RUNHOOK_", "RUNHOOK_TEST_"

// ofKubernetes fits the variables that Kubernetes gives every container for a service whose name begins with runhook,
// as in RUNHOOK_STATUS_SERVICE_HOST and RUNHOOK_PORT_8080_TCP_ADDR
// (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
var ofKubernetes = regexp.MustCompile(`^RUNHOOK(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// checkVariables refuses a variable of the environment that looks like a setting and is none of any command: nobody
// would see that it has no effect.
func checkVariables(grammar *kong.Node, environment []string) error {
	known := slices.Clone(otherVariables)
	for _, flag := range allFlags(grammar) {
		known = append(known, flag.Envs...)
	}
	slices.Sort(known) // so that a hint does not depend on the order of the commands
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, testVariables) && !slices.Contains(known, name) && !ofKubernetes.MatchString(name) {
			for i, name := range known {
				known[i] = strings.TrimPrefix(name, prefix) // all begin alike, which would make them near
			}
			hint := ""
			if near := nearest.Name(strings.TrimPrefix(name, prefix), known); near != "" {
				hint = "; did you mean " + prefix + near + "?"
			}
			return fmt.Errorf("the environment variable %s is no setting of any command%s; see `runhook serve --help`", name, hint)
		}
	}
	return nil
}

// settingsOf are the flags that a command was given, by its arguments or by the environment, and that differ from their
// defaults, each as in listen=127.0.0.1:8080. Passwords in addresses are left out.
func settingsOf(command *kong.Context) (settings []string) {
	given := map[*kong.Flag]bool{}
	for _, part := range command.Path {
		if part.Flag != nil {
			given[part.Flag] = true
		}
	}
	for _, flag := range command.Flags() {
		for _, name := range flag.Envs {
			if _, set := os.LookupEnv(name); set {
				given[flag] = true
			}
		}
		if value := written(flag.Target); given[flag] && value != flag.Default {
			settings = append(settings, flag.Name+"="+value)
		}
	}
	slices.Sort(settings)
	return settings
}

// written is the value of a flag as somebody would write it.
func written(value reflect.Value) string {
	if value.Kind() == reflect.Pointer && !value.IsNil() {
		value = value.Elem()
	}
	switch value := value.Interface().(type) {
	case time.Duration:
		return run.Span(value)
	case []string:
		return withoutPasswords(strings.Join(value, ","))
	default:
		return withoutPasswords(fmt.Sprint(value))
	}
}

// withoutPasswords is a list of addresses without what signs in to them.
func withoutPasswords(list string) string {
	addresses := strings.Split(list, ",")
	for i, address := range addresses {
		if !strings.Contains(address, "@") {
			continue
		}
		parsed, err := url.Parse(address)
		if err != nil || parsed.User == nil {
			_, host, _ := strings.Cut(address, "@")
			addresses[i] = "…@" + host
			continue
		}
		parsed.User = nil
		addresses[i] = strings.Replace(parsed.String(), "://", "://…@", 1)
	}
	return strings.Join(addresses, ",")
}
