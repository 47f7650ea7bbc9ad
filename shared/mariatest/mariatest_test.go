package mariatest_test

import (
	"testing"

	"runhook/shared/mariatest"
	"runhook/shared/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// Each test has tables of its own.
func TestDatabase(t *testing.T) {
	server := mariatest.New(t)
	for _, name := range []string{"Ann", "Bob"} {
		database := server.Database(t)
		database.Exec("CREATE TABLE members (id int, name text); INSERT INTO members VALUES (1, '" + name + "'), (2, NULL)")
		if got := database.Query("SELECT * FROM members ORDER BY id"); got != "1 "+name+"; 2 <nil>" {
			t.Errorf("the table has %s", got)
		}
	}
}
