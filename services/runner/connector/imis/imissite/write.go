package imissite

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// dateLayout is how a date is written.
const dateLayout = "2006-01-02T15:04:05"

// onEntity finds the entity of a request, and holds s.mu while it is answered.
func (s *Site) onEntity(answer func(e *entity, w http.ResponseWriter, r *http.Request)) http.HandlerFunc {
	return s.authorized(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e := s.entity(r.PathValue("entity"))
		if e == nil || e.NoREST {
			notImplemented(w, "Service not implemented")
			return
		}
		answer(e, w, r)
	})
}

// onParty is onEntity for contacts.
func (s *Site) onParty(answer func(e *entity, w http.ResponseWriter, r *http.Request)) http.HandlerFunc {
	return s.authorized(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		answer(s.entity(partyName), w, r)
	})
}

// onRow is onEntity for a request that names a row of it.
func (s *Site) onRow(answer func(e *entity, row Row, w http.ResponseWriter, r *http.Request)) http.HandlerFunc {
	return s.onEntity(func(e *entity, w http.ResponseWriter, r *http.Request) {
		row, ok := e.at(r)
		if !ok {
			Refuse(w, http.StatusNotFound, "The %s does not exist.", e.Name)
			return
		}
		answer(e, row, w, r)
	})
}

// hasPermission is POST /api/{Entity}/_haspermission/{operation}. The vendor's collection has it without a body; its
// answer, true or false, is inferred.
func (s *Site) hasPermission(e *entity, w http.ResponseWriter, r *http.Request) {
	operation := r.PathValue("operation")
	body, _ := io.ReadAll(r.Body)
	if len(body) > 0 || !slices.Contains([]string{"create", "read", "update", "delete"}, operation) {
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	}
	writeJSON(w, http.StatusOK, !e.denies(operation))
}

// denies reports whether the account may not do that.
func (e *entity) denies(operation string) bool {
	return slices.ContainsFunc(e.Denied, func(one string) bool { return strings.EqualFold(one, operation) })
}

// forbid answers where the account may not do that.
func (e *entity) forbid(operation string, w http.ResponseWriter) bool {
	if e.denies(operation) {
		Refuse(w, http.StatusForbidden, "Authorization has been denied for this request.")
	}
	return e.denies(operation)
}

// insert is POST /api/{Entity}.
func (s *Site) insert(e *entity, w http.ResponseWriter, r *http.Request) {
	if e.forbid("create", w) {
		return
	}
	if e.Name == partyName {
		s.writeParty(e, nil, w, r)
		return
	}
	row, ok := s.valid(e, w, r, nil)
	if !ok {
		return
	}
	for _, p := range e.Properties {
		if p.Generated && (!p.Settable || row[p.Name] == nil) {
			e.last++
			row[p.Name] = e.last
			if p.Type == "String" {
				row[p.Name] = fmt.Sprint(e.last)
			}
		}
	}
	if _, known := e.rows[strings.ToLower(strings.Join(e.key(row), "|"))]; known {
		Refuse(w, http.StatusConflict, "The %s already exists.", e.Name)
		return
	}
	e.put(row)
	answered := maps.Clone(row)
	if e.ObjectType == "Multi" && !e.Legacy {
		answered["Ordinal"] = int64(0) // and not the one it got: users say so
	}
	writeJSON(w, http.StatusCreated, e.data(answered))
}

// update is PUT /api/{Entity}/{key}.
func (s *Site) update(e *entity, old Row, w http.ResponseWriter, r *http.Request) {
	if e.forbid("update", w) {
		return
	}
	if e.Name == partyName {
		s.writeParty(e, old, w, r)
		return
	}
	if row, ok := s.valid(e, w, r, old); ok {
		e.put(row)
		writeJSON(w, http.StatusOK, e.data(row))
	}
}

// show is GET /api/{Entity}/{key}.
func (s *Site) show(e *entity, row Row, w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, e.data(row))
}

// delete is DELETE /api/{Entity}/{key}. Its answer is inferred. It is not known whether iMIS deletes a contact
// on such a request; this site does, with all that belongs to it, so that it shows.
func (s *Site) delete(e *entity, row Row, w http.ResponseWriter, _ *http.Request) {
	if e.forbid("delete", w) {
		return
	}
	e.remove(strings.ToLower(strings.Join(e.key(row), "|")))
	if e.Name == partyName {
		for _, other := range s.entities {
			for _, key := range slices.Clone(other.keys) {
				if other.Parent == partyName && strings.EqualFold(other.contact(other.rows[key]), cellText(row["PartyId"])) {
					other.remove(key)
				}
			}
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// validate is POST /api/{Entity}/_validate.
func (s *Site) validate(e *entity, w http.ResponseWriter, r *http.Request) {
	if e.NoValidate {
		notImplemented(w, "Operation not implemented")
		return
	}
	row, wrong, ok := s.read(e, r, Row{})
	if !ok {
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"$type": "Asi.Soa.Core.DataContracts.ValidateResultsData, Asi.Contracts", "Entity": e.data(row), "ValidationResults": validationResults(wrong),
	})
}

// at finds the row that the address of a request names: ~a|b, or a alone where the key has one part. Other
// forms have been seen, and to fail on some sites.
func (e *entity) at(r *http.Request) (Row, bool) {
	key := r.PathValue("key")
	listed, tilde := strings.CutPrefix(key, "~")
	parts := len(e.key(Row{}))
	if !tilde && parts > 1 || tilde && strings.Count(listed, "|") != parts-1 {
		return nil, false
	}
	row, ok := e.rows[strings.ToLower(listed)]
	return row, ok
}

// invalid is what is wrong with one property.
type invalid struct {
	property, message string
	value             any
}

// valid reads a row from a request as read does, and answers where it cannot be stored.
func (s *Site) valid(e *entity, w http.ResponseWriter, r *http.Request, old Row) (row Row, ok bool) {
	row, wrong, ok := s.read(e, r, old)
	switch {
	case !ok:
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
	case len(wrong) > 0:
		refuseInvalid(w, wrong)
	}
	return row, ok && len(wrong) == 0
}

// read reads a row from a request, and says what of it is not valid. old is the row that it changes; nil at an
// insert, and empty where there may be one. It is false where the body is not one of this entity at all.
func (s *Site) read(e *entity, r *http.Request, old Row) (row Row, wrong []invalid, ok bool) {
	var given entityData
	if !readBody(r, &given) || !given.fits(e) {
		return nil, nil, false
	}
	elements := given.Identity.elements()
	if old == nil && elements != nil && !e.Legacy || len(old) > 0 && !slices.EqualFunc(elements, e.key(old), strings.EqualFold) {
		return nil, nil, false
	}
	row = Row{}
	if s.partial {
		maps.Copy(row, old)
	}
	named := map[string]bool{}
	for _, property := range given.Properties.Values {
		p := e.property(property.Name)
		if p == nil {
			// That it is refused, and as not valid, is inferred.
			wrong = append(wrong, invalid{property.Name, property.Name + " is not a property of " + e.Name + ".", nil})
			continue
		}
		value, fits := p.valueOf(property.Value)
		if !fits {
			return nil, nil, false
		}
		named[p.Name] = true
		delete(row, p.Name)
		if value != nil {
			row[p.Name] = value
		}
	}
	for _, p := range e.Properties {
		if len(old) > 0 && p.Identity && !named[p.Name] {
			row[p.Name] = old[p.Name]
		}
		if old == nil && !named[p.Name] && p.Default != nil {
			row[p.Name] = p.Default
		}
		if message := p.check(row[p.Name], old); message != "" {
			wrong = append(wrong, invalid{p.Name, p.Name + " " + message, row[p.Name]})
		}
	}
	if e.Check != nil {
		if property, message := e.Check(row); message != "" {
			wrong = append(wrong, invalid{property, message, row[property]})
		}
	}
	if e.Parent == partyName {
		id := e.contact(row)
		counted := len(e.Properties) > 1 && e.Properties[1].Settable && row[e.Properties[1].Name] != nil
		if e.Legacy && old == nil && (elements != nil || counted) && !slices.Equal(elements, e.key(row)) { // as in the vendor's sample
			return nil, nil, false
		}
		parent := given.PrimaryParentIdentity.elements()
		if len(parent) != 1 || !strings.EqualFold(parent[0], id) {
			return nil, nil, false
		}
		// That it is not valid, and not a 404, is inferred.
		if s.entity(partyName).rows[strings.ToLower(id)] == nil && id != "" {
			name := e.Properties[0].Name
			wrong = append(wrong, invalid{name, name + " is not that of a contact.", id})
		}
	} else if old == nil && given.PrimaryParentIdentity.elements() != nil {
		return nil, nil, false
	}
	if len(old) > 0 && !slices.EqualFunc(e.key(row), e.key(old), strings.EqualFold) {
		wrong = append(wrong, invalid{"Identity", "The identity cannot be changed.", nil})
	}
	return row, wrong, true
}

// check says what is wrong with a value, at an insert where old is nil. The words are inferred.
func (p *Property) check(value any, old Row) string {
	text, isText := value.(string)
	switch {
	case p.Generated && !p.Settable && old == nil && value != nil:
		return "is given by the site and cannot be set."
	case p.Generated:
	case p.Required && (value == nil || isText && strings.TrimSpace(text) == ""):
		return "is required."
	case p.Type == "String" && p.MaxLength > 0 && len(utf16.Encode([]rune(text))) > p.MaxLength:
		return fmt.Sprintf("must not be longer than %d characters.", p.MaxLength)
	case p.Type == "Date" && isText:
		if _, err := time.Parse(dateLayout, text); err != nil {
			return "is not a date."
		}
	case len(p.Values) > 0 && value != nil && cellText(value) != "":
		chosen := []string{cellText(value)}
		if p.Multiple {
			chosen = strings.Split(chosen[0], ",")
		}
		for _, one := range chosen {
			if !slices.Contains(p.Values, one) {
				return "has a value that is not in its list."
			}
		}
	}
	return ""
}
