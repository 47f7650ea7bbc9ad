package taskfile

import (
	"reflect"
	"strings"
	"testing"

	"runhook/shared/task"
)

func TestParseDestinations(t *testing.T) {
	for _, c := range []struct {
		text        string
		want        task.Destination
		restartable bool
		atLeastOnce bool
	}{
		{"http: {connection: partner, path: /members}", &task.HTTPDestination{Connection: "partner", Path: "/members", Method: "POST", Batch: 1}, true, true},
		{"http: {connection: partner, path: '/members?notify=no', method: PUT, batch: 100}", &task.HTTPDestination{Connection: "partner", Path: "/members?notify=no", Method: "PUT", Batch: 100}, true, true},
		{"nats: {subject: members.changed}", &task.NATSDestination{Subject: "members.changed"}, true, true},
		{"nats: {subject: runs}", &task.NATSDestination{Subject: "runs"}, true, true},
		{"csv: {connection: drop, path: o.csv, action: replace}", &task.CSVDestination{Connection: "drop", Path: "o.csv", Action: task.Replace}, true, false},
		{"csv: {connection: drop, path: o.csv, action: append}", &task.CSVDestination{Connection: "drop", Path: "o.csv", Action: task.Append}, false, true},
	} {
		def, err := Parse([]byte("id: "+string(task.NewID())+"\nname: x\nsource: {csv: {connection: drop, path: in.csv}}\nmapping: {id: ID}\ndestination: {"+c.text+"}\n"), "x.yaml")
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if !reflect.DeepEqual(def.Destination, c.want) || def.Destination.Traits().Restartable != c.restartable || def.Destination.Traits().AtLeastOnce != c.atLeastOnce {
			t.Errorf("%s: %+v, restartable %v, at least once %v", c.text, def.Destination, def.Destination.Traits().Restartable, def.Destination.Traits().AtLeastOnce)
		}
	}
}

// What a file to start from and the reference page say of the new kinds.
func TestAtLeastOnceIsSaid(t *testing.T) {
	for _, name := range []string{"http", "nats"} {
		for _, f := range destinationFields {
			if f.name == name && !strings.Contains(f.meaning, "some arrive again") {
				t.Errorf("%s means %q", name, f.meaning)
			}
		}
	}
}
