package imis_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/shared/task"
)

// Whatever is wrong with the entity is told before the first row, and nothing is written.
func TestDestinationsThatCannotBeOpened(t *testing.T) {
	hidden := imissite.Entity{Name: "My_Hidden", NoREST: true}
	for name, c := range map[string]struct {
		to      task.IMISDestination
		columns string
		says    string
	}{
		"no such entity": {
			task.IMISDestination{Entity: "My_Certificate", Action: task.Insert},
			"ID Code",
			"there is no panel or business object My_Certificate on the site of connection prod, or its account cannot see it; did you mean My_Certificates?",
		},
		"no entity like it": {
			task.IMISDestination{Entity: "Nothing", Action: task.Insert},
			"ID Code",
			"there is no panel or business object Nothing on the site of connection prod, or its account cannot see it; correct destination.imis.entity",
		},
		"not through the API": {
			task.IMISDestination{Entity: "My_Hidden", Action: task.Insert},
			"ID",
			`the entity My_Hidden of connection prod is not available through the REST API; switch on "Available via the REST API" in its properties`,
		},
		"a contact": {
			task.IMISDestination{Entity: "Party", Action: task.Delete, Key: []string{"PartyId"}},
			"PartyId",
			"destination.imis.action: contacts are never deleted",
		},
		"several columns": {
			task.IMISDestination{Entity: "My_Certificates", Action: task.Insert},
			"ID Code Earnd Nothing",
			"the entity My_Certificates of connection prod does not fit the task; mapping.Earnd: My_Certificates has no column Earnd; did you mean Earned?; " +
				"mapping.Nothing: My_Certificates has no column Nothing; it has ID, Ordinal, Code, Earned, Hours, Fee, Paid, Topics, Scan",
		},
		"no contact": {
			task.IMISDestination{Entity: "My_Certificates", Action: task.Insert},
			"Code",
			"mapping.ID: a record of My_Certificates belongs to a contact; map the column ID, the contact's iMIS ID",
		},
		"a required column": {
			task.IMISDestination{Entity: "My_Certificates", Action: task.Upsert, Match: []string{"ID"}},
			"ID Hours",
			"mapping.Code: My_Certificates does not take a record without Code; add it to mapping",
		},
		"a counted column": {
			task.IMISDestination{Entity: "My_Certificates", Action: task.Insert},
			"ID Code Ordinal",
			"mapping.Ordinal: the site counts Ordinal up by itself, and takes none with a new record; remove it from mapping",
		},
		"a counted key": {
			task.IMISDestination{Entity: "My_Certificates", Action: task.Upsert, Key: []string{"ID", "Ordinal"}},
			"ID Code Ordinal",
			"destination.imis.key: the site counts Ordinal up by itself, so that a record cannot be inserted under a key of yours; find records by match, and remove Ordinal from mapping",
		},
		"a part of the key": {
			task.IMISDestination{Entity: "My_Certificates", Action: task.Delete, Key: []string{"ID"}},
			"ID",
			"destination.imis.key: a record of My_Certificates is identified by ID, Ordinal; give all of it, or find records by match",
		},
		"another key": {
			task.IMISDestination{Entity: "My_Prices", Action: task.Update, Key: []string{"Price"}},
			"Price Product",
			"destination.imis.key: a record of My_Prices is identified by Product; give all of it, or find records by match",
		},
		"a match by a file": {
			task.IMISDestination{Entity: "My_Certificates", Action: task.Delete, Match: []string{"Scan"}},
			"Scan",
			"destination.imis.match: a record cannot be found by Scan, which has binary data",
		},
		"values added to a number": {
			task.IMISDestination{Entity: "My_Certificates", Action: task.Update, Match: []string{"Code"}, Append: []string{"Hours"}},
			"Code Hours",
			"destination.imis.append: Hours has no text that values can be added to",
		},
		"another parent": {
			task.IMISDestination{Entity: "My_Sessions", Action: task.Insert},
			"EventId",
			"destination.imis.action: to insert records that belong to a record of Event, as those of My_Sessions do, is not supported yet; take update",
		},
		"what may be contacts": {
			task.IMISDestination{Entity: "CsNames", Action: task.Delete, Key: []string{"ID"}},
			"ID",
			"destination.imis.action: CsNames is no panel but an object of iMIS itself, whose records may be contacts, and contacts are never deleted",
		},
		"no such connection": {
			task.IMISDestination{Connection: "prd", Entity: "My_Certificates", Action: task.Insert}, "ID Code", "no connection prd in connections.yaml; did you mean prod?",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPanels(t, "", task.Insert, strings.Fields(c.columns)...)
			p.site.SetEntities(hidden, imissite.Entity{Name: "CsNames", ObjectType: "Standard"}, imissite.Entity{Name: "My_Sessions", ObjectType: "Standard", Parent: "Event", Properties: []imissite.Property{{Name: "EventId", Type: "String", Identity: true}}})
			if c.to.Connection == "" {
				c.to.Connection = "prod"
			}
			p.to = &c.to
			for _, p.dry = range []bool{false, true} {
				_, err := p.write()
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v\nwant %s", err, c.says)
				}
			}
			if p.count(http.MethodPost)+p.count(http.MethodPut)+p.count(http.MethodDelete) > 0 {
				t.Errorf("sent %v", p.requests())
			}
		})
	}
}

// Contacts are not written, and above all not deleted, also where their definition can be had.
func TestContactsAreLeftAlone(t *testing.T) {
	for _, action := range []task.Action{task.Update, task.Delete} {
		p := newPanels(t, "CsContact", action, "PartyId", "LastName")
		p.to.Key = []string{"PartyId"}
		// A site whose metadata has contacts under some other name.
		p.behind(func(r *http.Request) {
			if r.URL.Path == "/api/CsContact" {
				r.URL.Path = "/api/Party"
			}
		})
		p.site.SetEntities(imissite.Entity{Name: "CsContact", ObjectType: "Standard", Parent: "Standalone", Properties: []imissite.Property{
			{Name: "PartyId", Type: "String", Identity: true}, {Name: "LastName", Type: "String"},
		}})
		p.fail([][]any{{"101", "Other"}}, "the entity CsContact of connection prod has records of a form of its own, as contacts have; to write contacts take entity: Party")
		if got := len(p.site.Rows("Party")); got != 9 {
			t.Errorf("%d contacts are left", got)
		}
	}
}

// A definition is found on any page, in any letter case, or else in the metadata.
func TestDefinitionIsFound(t *testing.T) {
	p := newPanels(t, "MY_PROFILE", task.Insert, "ID", "Motto")
	var more []imissite.Entity
	for _, name := range []string{"A", "B", "C", "D", "E"} {
		more = append(more, imissite.Entity{Name: name})
	}
	p.site.SetEntities(more...)
	p.site.SetPageLimit(2)
	p.expect([][]any{{"101", "x"}}, "inserted")
	for _, r := range p.site.Requests() {
		if strings.HasPrefix(r.Path, "/api/metadata") {
			t.Error("the definition was not found on its page")
		}
	}

	p.site.Fail(sitetest.Status(http.StatusForbidden)) // the definitions
	p.expect([][]any{{"102", "x"}, {"102", strings.Repeat("x", 21)}}, "inserted", "Motto is too long (max 20)")
	p.site.Fail(sitetest.Status(http.StatusNotImplemented), sitetest.Status(http.StatusForbidden))
	p.fail(nil, "the metadata of the entity MY_PROFILE of connection prod is not allowed to the account of the connection (status 403)")
	p.site.Fail(sitetest.Status(http.StatusForbidden), sitetest.Status(http.StatusNotImplemented))
	p.fail(nil, "the list of business objects (BoEntityDefinition) of connection prod is not allowed to the account of the connection (status 403)")
	p.site.Fail(sitetest.Answer("application/json", `{"Offset":0}`))
	p.fail(nil, "the list of business objects (BoEntityDefinition) of connection prod is not a list as iMIS gives it")
}

// What a site may leave out of a definition, or add to it.
func TestDefinitionsOfOtherShapes(t *testing.T) {
	for text, names := range map[string][2]string{
		`{"Properties":[{"Name":"PartyId"},{"Name":"SEQN"}]}`:                                                                      {"PartyId", "SEQN"},
		`{"Properties":[{"Name":"PartyId","IsIdentity":true},{"Name":"ID"}]}`:                                                      {"PartyId", "Ordinal"},
		`{"Properties":[{"Name":"ID","IsIdentity":true},{"Name":"Ordinal","IsIdentity":true},{"Name":"PartyId"},{"Name":"SEQN"}]}`: {"ID", "Ordinal"},
		`{"Properties":[{"Name":"ID"},{"Name":"PartyId"},{"Name":"Ordinal"},{"Name":"SEQN"}]}`:                                     {"ID", "Ordinal"},
		`{"Properties":[{"Name":"PartyId","IsIdentity":true},{"Name":"SEQN","IsIdentity":true},{"Name":"Ordinal"},{"Name":"ID"}]}`: {"PartyId", "SEQN"},
	} {
		if got := imis.ReadEntity(text); got.Contact != names[0] || got.Counter != names[1] {
			t.Errorf("%s: %s, %s", text, got.Contact, got.Counter)
		}
	}
	for text, want := range map[string]imis.Entity{
		`{}`: {},
		`{"$type":"x","EntityTypeName":"A","ObjectTypeName":"Multi","Properties":null}`: {Name: "A", Kind: "Multi"},
		`{"EntityTypeName":"A","Properties":{"$type":"x","$values":[
			{"$type":"PropertyTypeStringData","Name":"S","PropertyTypeName":"String","MaxLength":0,"Required":true,"DefaultValue":"",
			 "Rule":{"$type":"PropertyRuleValueListData","ValueList":{"$type":"x","$values":[{"$type":"p","Name":"shown","Value":"code"},{"$type":"p","Name":"2","Value":{"$type":"System.Int32","$value":2}}]}}},
			{"Name":"Q","PropertyTypeName":"String","MaxLength":9,"Rule":{"Query":{"EntityTypeName":"X"},"ValuePropertyName":"Y"}},
			{"Name":"N","PropertyTypeName":"Integer","DefaultValue":{"$type":"System.Int32","$value":0},"IsIdentity":true,"ExtendedPropertyInformation":{"IsDbIdentity":true}},
			{"Caption":"no name"}, 7]}}`: {Name: "A", Properties: []imis.Property{
			{Name: "S", Type: "String", Required: true, Allowed: []string{"code", "2"}},
			{Name: "Q", Type: "String", MaxLength: 9, LookedUp: true},
			{Name: "N", Type: "Integer", HasDefault: true, Identity: true, ReadOnly: true},
		}},
	} {
		want.Contact, want.Counter = "ID", "Ordinal"
		if got := imis.ReadEntity(text); !reflect.DeepEqual(got, &want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", text, got, want)
		}
	}
}

// An account that may add records, and not read them, can insert.
func TestAccountThatMayNotRead(t *testing.T) {
	for action, opens := range map[task.Action]bool{task.Insert: true, task.Update: false} {
		p := newPanels(t, "My_Profile", action, "ID", "Motto")
		p.site.Fail(nil, sitetest.Status(http.StatusForbidden))
		if opens {
			p.expect([][]any{{"101", "x"}}, "inserted")
			continue
		}
		p.to.Key = []string{"ID"}
		p.fail(nil, "the entity My_Profile of connection prod is not allowed to the account of the connection (status 403)")
	}
}

// Of an entity that tells no properties any column is sent, as it is.
func TestEntityWithoutProperties(t *testing.T) {
	p := newPanels(t, "My_Profile", task.Upsert, "ID", "Motto")
	p.to.Key = []string{"ID"}
	bare := sitetest.Answer("application/json", `{"Items":{"$values":[{"EntityTypeName":"My_Profile","PrimaryParentEntityTypeName":"Party"}]},"HasNext":false}`)
	p.site.Fail(bare, sitetest.Status(http.StatusNotImplemented))
	p.expect([][]any{{"101", "x"}, {"101", "x"}, {"101", "y"}, {"102", strings.Repeat("x", 21)}}, "inserted", "unchanged", "updated", "Motto is refused by the site's validation")
}
