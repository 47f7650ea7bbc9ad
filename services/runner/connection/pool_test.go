package connection_test

import (
	"testing"

	"runhook/services/runner/connection"
)

// All that use a set's connections share what is in its pool, and nobody else does.
func TestAPoolIsOneSets(t *testing.T) {
	parse := func() *connection.Set {
		set, err := connection.Parse([]byte(`prod: {imis: {url: "https://example.imiscloud.com", username: a, password: b}}`), "connections.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	share := func(set *connection.Set) *int {
		where, err := set.IMIS("prod")
		if err != nil {
			t.Fatal(err)
		}
		return connection.Share(where.Pool, "turns", func() *int { return new(int) })
	}
	set := parse()
	keeping, release := set.Keep()
	defer release()
	if first := share(set); share(set) != first || share(keeping) != first || share(parse()) == first {
		t.Error("the users of a set do not share its pool, or other sets do")
	}
}
