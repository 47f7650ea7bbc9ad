package pipelinetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/task"
)

// ToService makes the job send batches to a service, which answers with what answer writes.
func (b *Bench) ToService(batch int, answer func(w http.ResponseWriter, ids []string)) {
	b.T.Helper()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var rows []struct{ ID string }
		var err error
		if batch == 1 {
			rows = append(rows, struct{ ID string }{})
			err = json.NewDecoder(r.Body).Decode(&rows[0])
		} else {
			err = json.NewDecoder(r.Body).Decode(&rows)
		}
		if err != nil {
			b.T.Errorf("sent what is no JSON: %v", err)
		}
		var ids []string
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		answer(w, ids)
	}))
	b.T.Cleanup(service.Close)
	set, err := connection.Parse(fmt.Appendf(nil, "drop: {files: .}\npartner: {http: {private: true, url: %q}}\n", service.URL), filepath.Join(b.Folder, "connections.yaml"))
	if err != nil {
		b.T.Fatal(err)
	}
	b.Job.Connections = set
	b.Job.Task.Destination = &task.HTTPDestination{Connection: "partner", Path: "/members", Method: "POST", Batch: batch}
}

// ToPanel makes the job write to a panel of a stand-in site, whose contacts are 101 to 103.
func (b *Bench) ToPanel(action task.Action) (site *imissite.Site, address string) {
	b.T.Helper()
	site = imissite.New("runhook", "secret")
	site.SetEntities(imissite.Entity{Name: "My_Panel", ObjectType: "Multi", Properties: []imissite.Property{
		{Name: "Code", Type: "String", MaxLength: 5, Required: true}, {Name: "Hours", Type: "Integer"},
	}})
	for _, id := range []string{"101", "102", "103"} {
		site.SetContacts(imissite.Contact{ID: id, LastName: "A"})
	}
	server := httptest.NewServer(site)
	b.T.Cleanup(server.Close)
	set, err := connection.Parse([]byte("prod: {imis: {private: true, url: '"+server.URL+"', username: runhook, password: secret}}\ndrop: {files: .}\n"), filepath.Join(b.Folder, "connections.yaml"))
	if err != nil {
		b.T.Fatal(err)
	}
	b.Job.Connections = set
	b.Job.Task.Destination = &task.IMISDestination{
		Connection: "prod", Entity: "My_Panel", Action: action, Match: []string{"ID", "Code"}, OnMultiple: task.SkipRow, OnBlankMatch: task.SkipRow,
	}
	b.Mapping("ID", "ID", "Code", "Name", "Hours", "int(ID) - 100")
	return site, server.URL
}
