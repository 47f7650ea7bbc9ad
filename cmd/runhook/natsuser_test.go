//go:build !bench

package main

import (
	"strings"
	"testing"
)

// nats-user prints what the configuration has of a user, and takes no name that would be more than one there.
func TestNATSUserPrintsRights(t *testing.T) {
	t.Parallel()
	for name, says := range map[string][]string{
		"init":    {"may do everything in the account RUNHOOK"},
		"ingress": {"INGRESS {", "{user: ingress, password: $NATS_INGRESS_PASSWORD, permissions: {", `{service: "run.request.*", accounts: [INGRESS]}`, `{service: {account: RUNHOOK, subject: "run.request.*"}}`},
		"runner":  {"{user: runner, password: $NATS_RUNNER_PASSWORD, permissions: {", `"$KV.*.claim.*.*"`},
		"status":  {"{user: status, password: $NATS_STATUS_PASSWORD, permissions: {", "allow_responses: {max: 1"},
		"my-crm":  {"INTEGRATION_my-crm {", "{user: my-crm, password: $NATS_MY_CRM_PASSWORD}", `{service: "run.consumer.my-crm"}`, `{service: {account: RUNHOOK, subject: "run.consumer.my-crm"}, to: "$JS.API.CONSUMER.CREATE.EVENTS.my-crm"}`},
	} {
		said := mustCall(t, "nats-user", name)
		for _, part := range says {
			if !strings.Contains(said, part) {
				t.Errorf("of %s it does not say %s:\n%s", name, part, said)
			}
		}
	}
	for _, name := range []string{"a b", "a.b", "*", ">", `a"}`, "$X", strings.Repeat("a", 65), ""} {
		code, out, says := call(t, "nats-user", name)
		if code == exitSuccess || out != "" || !strings.Contains(says, "cannot be the name of a user") {
			t.Errorf("%q: %d, %s%s", name, code, out, says)
		}
	}
}
