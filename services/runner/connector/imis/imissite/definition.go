package imissite

import (
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
)

// The names of types in the requests and answers of QueryDefinition.
const (
	executeType  = "Asi.Soa.Core.DataContracts.GenericExecuteRequest, Asi.Contracts"
	objectsType  = "System.Collections.ObjectModel.Collection`1[[System.Object, mscorlib]], mscorlib"
	stringsType  = "System.Collections.ObjectModel.Collection`1[[System.String, mscorlib]], mscorlib"
	resultType   = "Asi.Soa.Core.DataContracts.GenericExecuteResult, Asi.Contracts"
	documentType = "Asi.Soa.Core.DataContracts.IqaQueryDefinitionData, Asi.Contracts"
)

// execution is the body of an _execute.
type execution struct {
	Type           string `json:"$type"`
	OperationName  string
	EntityTypeName string
	Parameters     struct {
		Type   string `json:"$type"`
		Values []struct {
			Type  string `json:"$type"`
			Value string `json:"$value"`
		} `json:"$values"`
	}
	ParameterTypeName texts
	UseJSON           bool `json:"UseJson"`
}

// findDefinition is POST /api/QueryDefinition/_execute with FindByPath. Other operations exist and are
// not needed here.
func (s *Site) findDefinition(w http.ResponseWriter, r *http.Request) {
	var e execution
	if !readBody(r, &e) ||
		e.Type != executeType || e.EntityTypeName != "QueryDefinition" || e.Parameters.Type != objectsType || e.ParameterTypeName.Type != stringsType ||
		len(e.Parameters.Values) != 1 || e.Parameters.Values[0].Type != "System.String" ||
		len(e.ParameterTypeName.Values) != 1 || e.ParameterTypeName.Values[0] != "System.String" || e.UseJSON {
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	}
	if e.OperationName != "FindByPath" {
		notImplemented(w, "Operation not implemented")
		return
	}
	var result, message any
	message = "NotFound"
	if q := s.query(e.Parameters.Values[0].Value); q != nil {
		result, message = q.definition(), nil
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"$type": resultType, "Result": result, "IsSuccessStatusCode": true, "Message": message, "StatusCode": 200, "ValidationResults": nil,
	})
}

// listPrompts is GET /api/QueryParameterDefinition. Three documents of one client say that Prompt is the filter's
// Search Label here; that it is empty without one, and what FilterType is, is inferred.
func (s *Site) listPrompts(w http.ResponseWriter, r *http.Request) {
	p, ok := readPage(r, "limit", "offset")
	paths := p.rest["QueryPath"]
	switch {
	case !ok || len(p.rest) != 1 || len(paths) != 1:
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	case s.withoutLabels():
		notImplemented(w, "Service not implemented")
		return
	}
	items := []any{}
	if q := s.query(paths[0]); q != nil {
		for _, prompt := range q.Prompts {
			items = append(items, map[string]any{
				"$type":  "Asi.Soa.Core.DataContracts.QueryParameterDefinitionData, Asi.Contracts",
				"Prompt": prompt.Label, "PropertyName": prompt.Property, "FilterType": prompt.filterType(),
			})
		}
	}
	p.limit = min(p.limit, MaxLimit)
	writeJSON(w, http.StatusOK, p.envelope(items))
}

// listDocuments is GET /api/DocumentSummary?Name=: it sees documents that are not published, as one client has
// found out.
func (s *Site) listDocuments(w http.ResponseWriter, r *http.Request) {
	p, ok := readPage(r, "limit", "offset")
	names := p.rest["Name"]
	if !ok || len(p.rest) != 1 || len(names) != 1 {
		Refuse(w, http.StatusBadRequest, "The request is invalid.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []any{}
	for _, key := range slices.Sorted(maps.Keys(s.queries)) {
		if q := s.queries[key]; strings.EqualFold(path.Base(q.Path), strings.TrimPrefix(names[0], "eq:")) {
			items = append(items, map[string]any{
				"$type": "Asi.Soa.Core.DataContracts.DocumentSummaryData, Asi.Contracts", "Name": path.Base(q.Path), "Path": q.Path, "DocumentTypeId": "IQD",
			})
		}
	}
	writeJSON(w, http.StatusOK, p.envelope(items))
}

// filterType is how an IQA shows whether a prompt must have a value.
func (p Prompt) filterType() string {
	if p.Required {
		return "Required"
	}
	return "Optional"
}

// definition is an IQA as iMIS describes it, cut down to what public clients read. That a prompt's
// Prompt and a property's Alias are always there is inferred.
func (q *Query) definition() map[string]any {
	var properties, parameters []any
	for i, c := range q.Columns {
		properties = append(properties, map[string]any{
			"$type": "Asi.Soa.Core.DataContracts.QueryPropertyData, Asi.Contracts",
			"Name":  c.Name, "PropertyName": strings.ReplaceAll(c.Name, " ", ""), "Alias": c.Name, "Caption": c.Name,
			"DataTypeName": c.Type, "DisplayOrder": i + 1,
		})
	}
	for _, p := range q.Prompts {
		parameters = append(parameters, map[string]any{
			"$type": "Asi.Soa.Core.DataContracts.CriteriaData, Asi.Contracts", "PropertyName": p.Property, "Prompt": p.filterType(),
			"AllowMultiple": false, "Values": list([]any{p.Default}),
		})
	}
	name := path.Base(q.Path)
	return map[string]any{
		"$type": documentType, "Path": q.Path, "Document": map[string]any{"Name": name},
		"Properties": list(properties), "Parameters": list(parameters),
	}
}

// list is a list in its envelope.
func list(values []any) map[string]any {
	if values == nil {
		values = []any{}
	}
	return map[string]any{"$type": objectsType, "$values": values}
}
