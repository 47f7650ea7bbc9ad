package imissite

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Refuse answers an error as the web framework of iMIS words it.
func Refuse(w http.ResponseWriter, status int, format string, args ...any) {
	writeJSON(w, status, httpError(format, args...))
}

func httpError(format string, args ...any) map[string]any {
	return map[string]any{"$type": "System.Web.Http.HttpError, System.Web.Http", "Message": fmt.Sprintf(format, args...)}
}

// notImplemented answers 501, which says by its reason phrase whether a service or an operation is missing.
func notImplemented(w http.ResponseWriter, reason string) {
	writeReason(w, http.StatusNotImplemented, reason, httpError("%s", reason))
}

// refuseInvalid answers what is wrong with the properties of an entity.
func refuseInvalid(w http.ResponseWriter, wrong []invalid) {
	writeReason(w, http.StatusBadRequest, "Validation error", validationResults(wrong))
}

// validationResults is the body of such an answer. That its items have their property's name and value under
// these names is inferred: only a constructor with both is public.
func validationResults(wrong []invalid) map[string]any {
	var all []any
	summary := ""
	for _, one := range wrong {
		item := map[string]any{"$type": "Asi.Soa.Core.DataContracts.ValidationResultData, Asi.Contracts", "Message": one.message, "PropertyName": one.property}
		if one.value != nil {
			item["PropertyValue"] = one.value
		}
		all = append(all, item)
		summary += one.message + "\r\n"
	}
	return map[string]any{
		"$type": "Asi.Soa.Core.DataContracts.ValidationResultsData, Asi.Contracts", "Errors": list(all), "Warnings": list(nil), "Summary": summary,
	}
}

func writeJSON(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // who does not wait for the answer does not get it
}

// writeReason answers with a reason phrase of its own, where the protocol has one.
func writeReason(w http.ResponseWriter, status int, reason string, answer any) {
	connection, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		writeJSON(w, status, answer)
		return
	}
	defer func() { _ = connection.Close() }()
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // made of maps, lists and texts
	}
	_, _ = fmt.Fprintf(buffered, "HTTP/1.1 %d %s\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, reason, len(body), body)
	_ = buffered.Flush() // who does not wait for the answer does not get it
}
