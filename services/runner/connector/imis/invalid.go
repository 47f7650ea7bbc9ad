package imis

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"runhook/services/runner/row"
)

// refused makes of the error of a call what becomes of its row: a [*row.Fault] where the row may be at
// fault, and else a [*run.Failure] or ctx's error.
func (d *Destination) refused(err error, fields []field) error {
	if s, ok := errors.AsType[*spent](err); ok {
		if s.blind {
			return d.doubt(row.Faultf("", "is refused without a reason (%s, %d times in a row)", s.reason, s.tried))
		}
		return s.failure(d.asked())
	}
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		return err
	}
	switch r.status {
	case statusBadRequest, http.StatusUnprocessableEntity:
		if fault := d.invalid(r.body, fields); fault != nil {
			return fault
		}
		return row.Faultf("", "is refused with status %d", r.status).Saying(saying(r.body))
	case statusNotFound:
		return row.Faultf("", "is refused with status 404: what it belongs to may not exist").Saying(saying(r.body))
	case http.StatusConflict:
		return d.isThere().Saying(saying(r.body))
	case http.StatusRequestEntityTooLarge:
		return row.Faultf("", "is too large for the site")
	}
	return r.failure(d.asked())
}

// saying are the words of an error that is none of validation.
func saying(body string) string {
	s := scanner{text: validJSON(body)}
	answer, _ := s.value().(map[string]any)
	words := []string{textOf(answer["Message"]), textOf(answer["ExceptionMessage"])}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), "; ")
}

// validJSON is the text where it is JSON, and no more than an answer may have, and else null.
func validJSON(text string) string {
	if row.Exceeds([]byte(text), maxValues) || !json.Valid([]byte(text)) {
		return "null"
	}
	return text
}

// invalid is the fault that an answer names, nil where it names none. Which column it is is taken from what the
// site says; of what the fault is it says no more than is known without its words.
func (d *Destination) invalid(body string, fields []field) *row.Fault {
	s := scanner{text: validJSON(body)}
	answer, _ := s.value().(map[string]any)
	if inside, ok := answer["ValidationResults"].(map[string]any); ok {
		answer = inside
	}
	var fault *row.Fault
	var words []string
	for item := range objects(answer["Errors"]) {
		words = append(words, textOf(item["Message"]))
		if fault != nil {
			continue
		}
		fault = row.Faultf("", "is refused by the site's validation")
		name := textOf(item["PropertyName"])
		at := slices.IndexFunc(fields, func(f field) bool { return strings.EqualFold(f.property.Name, name) })
		if at < 0 {
			continue
		}
		fault.Column = fields[at].property.Name
		if fields[at].property.LookedUp && fields[at].plain != "" {
			fault.Message = "is not one of the values that the site has for it"
		}
	}
	if fault == nil {
		return nil
	}
	return fault.Saying(strings.Join(words, "; "))
}

// validate asks the site what it would say of a record, and stores nothing. A site that does not validate is
// not asked again.
func (d *Destination) validate(ctx context.Context, body string, fields []field) error {
	if !d.validates {
		return nil
	}
	text, err := d.client.do(ctx, d.asked(), call{method: http.MethodPost, address: "/api/" + d.entity.Name + "/_validate", body: body})
	refused, isRefusal := errors.AsType[*refusal](err)
	_, isSpent := errors.AsType[*spent](err)
	switch {
	case isRefusal && (refused.status == statusBadRequest || refused.status == http.StatusConflict):
		return d.refused(err, fields)
	case isRefusal, isSpent:
		d.validates = false
		return nil
	case err != nil:
		return err
	}
	if fault := d.invalid(text, fields); fault != nil {
		return fault
	}
	return nil
}
