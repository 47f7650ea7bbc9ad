package mariatest_test

import (
	"strconv"
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

// A server that is killed comes again, with what it has committed.
func TestCrash(t *testing.T) {
	server := mariatest.New(t)
	place := server.Database(t)
	place.Exec("CREATE TABLE members (id int PRIMARY KEY)")
	place.DB().SetMaxIdleConns(0) // each statement goes over a connection of its own
	for id := range 3 {
		place.Exec("INSERT INTO members VALUES (" + strconv.Itoa(id) + ")")
		if err := server.Crash(); err != nil {
			t.Fatal(err)
		}
		proctest.Until(t, place.DB().Ping)
	}
	if got := place.Query("SELECT count(*) FROM members"); got != "3" {
		t.Errorf("there are %s rows", got)
	}
}
