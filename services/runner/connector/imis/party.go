package imis

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"runhook/services/runner/row"
	"runhook/shared/run"
)

// findContacts finds a row's contacts: by its iMIS ID, or by what the site itself finds for an e-mail address or for a
// contact like the row's. Each is read whole, and only one that has the row's values in all columns of match is it.
func (d *Destination) findContacts(ctx context.Context, fields []field) ([]*record, error) {
	if len(d.key) > 0 {
		found, err := d.readParty(ctx, fields[d.key[0]].plain, fields)
		if found == nil || err != nil {
			return nil, err
		}
		return []*record{found}, d.is(found, fields, d.key)
	}
	identities, err := d.matching(ctx, fields)
	if err != nil {
		return nil, err
	}
	if len(identities) > mostAlike {
		return nil, row.Faultf("", "is like more than %d contacts; match by more columns", mostAlike)
	}
	var found []*record
	var differs error
	for _, identity := range identities {
		one, err := d.readParty(ctx, identity, fields)
		if err != nil {
			return nil, err
		}
		if one == nil {
			continue // deleted in the meantime
		}
		if err := d.is(one, fields, d.match); err != nil {
			differs = err
			continue
		}
		found = append(found, one)
	}
	if fault, ok := errors.AsType[*row.Fault](differs); ok && len(found) == 0 {
		return nil, row.Faultf(fault.Column, "is another in the contact that the site finds for the row; nothing was changed")
	}
	return found, nil
}

// mostAlike is how many contacts are looked at for one row.
const mostAlike = 20

// readParty reads a contact, nil where there is none.
func (d *Destination) readParty(ctx context.Context, identity string, fields []field) (*record, error) {
	if unaddressable(identity) != "" {
		return nil, row.Faultf(tableContact, "%s", unaddressable(identity))
	}
	text, err := d.client.do(ctx, d.asked(), call{method: http.MethodGet, address: addressOf(party, []string{identity})})
	if refused, ok := errors.AsType[*refusal](err); ok && refused.status == statusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, d.refused(err, fields)
	}
	found, ok := readContact(text, d.properties)
	if !ok || len(found.identity) == 0 {
		return nil, run.Failf("%s is answered with something other than an iMIS contact", d.asked())
	}
	return found, nil
}

// matching asks the site for the iMIS IDs of contacts that may be the row's. A site that does not carry the operation out
// is asked by a filter from then on, where there is one for the columns.
func (d *Destination) matching(ctx context.Context, fields []field) ([]string, error) {
	if !d.filters {
		text, err := d.client.do(ctx, d.asked(), call{method: http.MethodPost, address: "/api/Party/_execute", body: d.matchRequest(fields)})
		refused, isRefusal := errors.AsType[*refusal](err)
		switch {
		case err == nil:
			if identities, ok := identitiesOf(text); ok {
				return identities, nil
			}
		case !isRefusal || !slices.Contains([]int{statusBadRequest, statusNotFound, statusNotImplemented}, refused.status):
			return nil, d.refused(err, fields)
		}
		d.filters = true
	}
	query := ""
	for _, at := range d.match {
		name := strings.ToLower(fields[at].property.Name)
		if !slices.Contains([]string{"email", "firstname", "lastname"}, name) {
			return nil, run.Failf("%s: the site does not find contacts by its own operation (_execute), and there is no filter for %s; match by Email, FirstName and LastName", d.asked(), fields[at].property.Name)
		}
		query += name + "=" + escape("eq:"+fields[at].plain) + "&"
	}
	text, err := d.client.do(ctx, d.asked(), call{method: http.MethodGet, address: "/api/Party?" + query + "limit=100"})
	if err != nil {
		return nil, d.refused(err, fields)
	}
	identities, ok := identitiesOf(text)
	if !ok {
		return nil, run.Failf("%s is answered with something other than a list of iMIS contacts", d.asked())
	}
	return identities, nil
}

// matchRequest asks for contacts with an e-mail address, or for those that are like one, by the site's own rules.
func (d *Destination) matchRequest(fields []field) string {
	if len(d.match) == 1 && fields[d.match[0]].property.Name == email {
		return contact{
			"$type": contactType("PartyFindByEmailRequest", "Asi.Contracts"), "EntityTypeName": party, "OperationName": "FindByEmail", "EmailAddress": fields[d.match[0]].plain,
		}.text()
	}
	var like []field
	for _, at := range d.match {
		like = append(like, fields[at])
	}
	return contact{
		"$type": contactType("PartyMatchRequest", "Asi.Contracts"), "EntityTypeName": party, "OperationName": "FindByMatch", "Party": newContact(like),
	}.text()
}

// identitiesOf are the iMIS IDs of the contacts in an answer, each once: of an operation or of a list. ok is false for
// an answer of another form.
func identitiesOf(text string) (identities []string, ok bool) {
	s := scanner{text: text}
	answer, _ := s.value().(map[string]any)
	result, executed := answer["Result"]
	if !executed {
		result, ok = answer["Items"]
	} else if ok = answer["IsSuccessStatusCode"] != false; result == nil {
		return nil, ok
	}
	if paged, isPage := result.(map[string]any); isPage && paged["Items"] != nil {
		result = paged["Items"]
	}
	if one, single := result.(map[string]any); single {
		result = []any{one}
	}
	all, isList := result.([]any)
	for _, one := range all {
		party, _ := one.(map[string]any)
		identity := textOf(party[tableContact])
		if identity == "" {
			identity = textOf(party["Id"])
		}
		if identity == "" {
			return nil, false
		}
		if !slices.Contains(identities, identity) {
			identities = append(identities, identity)
		}
	}
	return identities, ok && isList
}

// changeContact changes a contact where it differs from the row. Where that is in one address alone, the address is
// sent, and else the whole contact as it was read.
func (d *Destination) changeContact(ctx context.Context, found *record, changes, fields []field) (row.Outcome, error) {
	c := found.contact
	if own, wants := c.kind(), newContact(fields).kind(); own != "ComboPartyData" && own != "PartyData" && own != wants && d.names(fields) {
		return row.Ready, row.Faultf("", "is the name of %s, and the contact is %s; nothing was changed", readable(wants), readable(own))
	}
	purposes := map[string]place{}
	for _, f := range changes {
		at, _ := placeOf(f.property.Name)
		c.set(at, f)
		purposes[purposeOf(at)] = at
	}
	c.withoutBlanks()
	body := c.text()
	if d.dry {
		return row.Updated, d.validate(ctx, body, fields)
	}
	if err := d.allow(row.Updated); err != nil {
		return row.Ready, err
	}
	send := call{method: http.MethodPut, address: addressOf(party, found.identity), body: body}
	at, single := place{}, len(purposes) == 1
	for _, one := range purposes {
		at = one
	}
	address := c.element(at)
	if single = single && at.list == "Addresses" && address != nil; single {
		send = call{method: http.MethodPost, address: "/api/Party/_execute", again: true, body: contact{
			"$type": contactType("AddressUpdateRequest", "Asi.Contracts"), "EntityTypeName": party, "OperationName": "AddressUpdate", tableContact: found.identity[0], "AddressUpdated": address,
		}.text()}
	}
	text, err := d.client.do(ctx, d.asked(), send)
	if refused, ok := errors.AsType[*refusal](err); ok && refused.status == statusNotFound {
		return row.Skipped, nil // deleted in the meantime
	}
	if err != nil {
		return row.Ready, d.refused(err, fields)
	}
	if single {
		if fault := d.invalid(text, fields); fault != nil {
			return row.Ready, fault
		}
		s := scanner{text: text}
		if answer, _ := s.value().(map[string]any); answer["IsSuccessStatusCode"] == false {
			return row.Ready, row.Faultf("", "is refused by the site").Saying(saying(text))
		}
	}
	return row.Updated, nil
}

// purposeOf tells addresses apart, and from all that is none.
func purposeOf(at place) string {
	if at.list == "Addresses" {
		return strings.ToLower(at.key)
	}
	return "\x00"
}

// names reports whether a row has the name of a person or an organization.
func (d *Destination) names(fields []field) bool {
	return slices.ContainsFunc(fields, func(f field) bool {
		return f.property.Name == organizationName || slices.Contains(personColumns, f.property.Name)
	})
}

// readable is the name of a contact's type.
func readable(kind string) string {
	if kind == "OrganizationData" {
		return "an organization"
	}
	return "a " + strings.ToLower(strings.TrimSuffix(kind, "Data"))
}
