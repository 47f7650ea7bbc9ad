package pgtest_test

import (
	"testing"

	"runhook/shared/pgtest"
	"runhook/shared/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// Each test has tables of its own.
func TestSchema(t *testing.T) {
	server := pgtest.New(t)
	for _, name := range []string{"Ann", "Bob"} {
		schema := server.Schema(t)
		schema.Exec("CREATE TABLE members (id int, name text); INSERT INTO members VALUES (1, '" + name + "'), (2, NULL)")
		if got := schema.Query("SELECT * FROM members ORDER BY id"); got != "1 "+name+"; 2 <nil>" {
			t.Errorf("the table has %s", got)
		}
	}
}
