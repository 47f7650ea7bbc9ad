package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Swagger returns the routes that callers use as a Swagger 2.0 document, made of [Document]: the custom connectors of
// Power Automate and Logic Apps take no OpenAPI 3. It names no host, because that is each installation's own, and one way
// to authenticate, because a connector has one: the key in X-Api-Key.
func Swagger() []byte { return append([]byte(nil), swagger()...) }

// StatusSchema returns the JSON Schema (draft 2020-12) of the status document, which is also that of an event.
func StatusSchema() []byte { return append([]byte(nil), statusSchema()...) }

type object = map[string]any

// swagger is made once, of a document that is compiled in: a fault in it ends the program, and the tests.
var swagger = sync.OnceValue(func() []byte {
	whole := parsed()
	s := &translation{whole: whole, definitions: object{}}
	paths := object{}
	for path, item := range whole["paths"].(object) {
		if translated := s.path(item.(object)); len(translated) > 0 {
			paths[path] = translated
		}
	}
	info := whole["info"].(object)
	return encoded(object{
		"swagger": "2.0",
		"info": object{
			"title": info["title"], "version": info["version"], "description": info["description"],
			"license": object{"name": info["license"].(object)["name"]},
		},
		"basePath":            "/",
		"schemes":             []any{"https", "http"},
		"securityDefinitions": object{"callerKey": whole["components"].(object)["securitySchemes"].(object)["callerKey"]},
		"security":            []any{object{"callerKey": []any{}}},
		"paths":               paths,
		"definitions":         s.definitions,
	})
})

var statusSchema = sync.OnceValue(func() []byte {
	whole := parsed()
	schemas := whole["components"].(object)["schemas"].(object)
	defs := object{}
	var collect func(name string)
	collect = func(name string) {
		if defs[name] != nil {
			return
		}
		defs[name] = schemas[name]
		eachReference(schemas[name], func(reference object, to string) {
			collect(to)
			reference["$ref"] = "#/$defs/" + to
		})
	}
	collect("StatusDocument")
	return encoded(object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Runhook's status document",
		"$ref": "#/$defs/StatusDocument", "$defs": defs,
	})
})

func parsed() (whole object) {
	if err := json.Unmarshal(document, &whole); err != nil {
		panic(err)
	}
	return whole
}

func encoded(whole object) []byte {
	text, err := json.MarshalIndent(whole, "", "  ")
	if err != nil {
		panic(err)
	}
	return append(text, '\n')
}

// eachReference visits the references to schemas in a node, with the names that they lead to.
func eachReference(node any, visit func(reference object, name string)) {
	switch node := node.(type) {
	case object:
		for _, member := range node {
			eachReference(member, visit)
		}
		if to, is := node["$ref"].(string); is {
			visit(node, to[strings.LastIndexByte(to, '/')+1:])
		}
	case []any:
		for _, member := range node {
			eachReference(member, visit)
		}
	}
}

// translation makes Swagger 2.0 of OpenAPI 3.1, as far as the routes of callers need it.
type translation struct {
	whole, definitions object
}

// at is what a reference within the document leads to, or the node itself.
func (s *translation) at(node any) object {
	members := node.(object)
	reference, is := members["$ref"].(string)
	if !is {
		return members
	}
	found := any(s.whole)
	for step := range strings.SplitSeq(strings.TrimPrefix(reference, "#/"), "/") {
		found = found.(object)[step]
	}
	return s.at(found)
}

// path keeps the operations of callers. HEAD is not among them: connectors have no use for it.
func (s *translation) path(item object) object {
	translated := object{}
	for method, node := range item {
		operation, is := node.(object)
		if !is || method == "head" || !slices.Contains(operation["tags"].([]any), any("webhooks")) {
			continue
		}
		shared, _ := item["parameters"].([]any)
		own, _ := operation["parameters"].([]any)
		translated[method] = s.operation(operation, append(slices.Clone(shared), own...))
	}
	return translated
}

func (s *translation) operation(operation object, parameters []any) object {
	made := object{}
	for _, name := range []string{"operationId", "tags", "summary", "description"} {
		if operation[name] != nil {
			made[name] = operation[name]
		}
	}
	list := []any{}
	for _, parameter := range parameters {
		list = append(list, s.parameter(s.at(parameter)))
	}
	if signature := s.signature(operation); signature != nil {
		list = append(list, signature)
	}
	if operation["requestBody"] != nil {
		body := s.at(operation["requestBody"])
		content := body["content"].(object)["application/json"].(object)
		list = append(list, object{"name": "body", "in": "body", "description": body["description"], "schema": s.schema(content["schema"])})
		made["consumes"] = []any{"application/json"}
	}
	made["parameters"] = list
	responses, produces := object{}, []any{}
	for code, node := range operation["responses"].(object) {
		response := s.at(node)
		answer := object{"description": response["description"]}
		if headers, has := response["headers"].(object); has {
			answer["headers"] = s.headers(headers)
		}
		content, _ := response["content"].(object)
		for _, kind := range slices.Sorted(maps.Keys(content)) {
			if !slices.Contains(produces, any(kind)) {
				produces = append(produces, kind)
			}
			schema := content[kind].(object)["schema"]
			switch {
			case strings.HasSuffix(kind, "json"):
				answer["schema"] = s.schema(schema)
			case answer["schema"] == nil:
				answer["schema"] = object{"type": "string", "format": "binary"}
			}
		}
		responses[code] = answer
	}
	slices.SortFunc(produces, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	made["responses"], made["produces"] = responses, produces
	return made
}

// signature is the run's signature as a parameter, since a connector authenticates in one way only.
func (s *translation) signature(operation object) object {
	ways, _ := operation["security"].([]any)
	for _, way := range ways {
		for name := range way.(object) {
			if scheme := s.whole["components"].(object)["securitySchemes"].(object)[name].(object); scheme["in"] == "query" {
				return object{"name": scheme["name"], "in": "query", "type": "string", "description": scheme["description"]}
			}
		}
	}
	return nil
}

func (s *translation) parameter(of object) object {
	made := object{"name": of["name"], "in": of["in"], "description": of["description"]}
	if of["required"] == true {
		made["required"] = true
	}
	maps.Copy(made, s.schema(of["schema"]))
	return made
}

func (s *translation) headers(of object) object {
	made := object{}
	for name, node := range of {
		header := s.at(node)
		made[name] = s.schema(header["schema"])
		if header["description"] != nil {
			made[name].(object)["description"] = header["description"]
		}
	}
	return made
}

// schema translates a JSON Schema. What Swagger 2.0 cannot say of a value is left open.
func (s *translation) schema(node any) object {
	of, made := node.(object), object{}
	if reference, is := of["$ref"].(string); is {
		name := reference[strings.LastIndexByte(reference, '/')+1:]
		if _, known := s.definitions[name]; !known {
			s.definitions[name] = object{} // it may refer to itself
			s.definitions[name] = s.schema(s.at(of))
		}
		return object{"$ref": "#/definitions/" + name}
	}
	for name, value := range of {
		switch name {
		case "type":
			kinds, several := value.([]any)
			if !several {
				made["type"] = value
				continue
			}
			kinds = slices.DeleteFunc(slices.Clone(kinds), func(kind any) bool { return kind == "null" })
			if len(kinds) == 1 {
				made["type"] = kinds[0]
			}
			made["x-nullable"] = true
		case "const":
			made["enum"] = []any{value}
		case "properties":
			properties := object{}
			for member, schema := range value.(object) {
				properties[member] = s.schema(schema)
			}
			made["properties"] = properties
		case "items":
			made["items"] = s.schema(value)
		case "additionalProperties":
			if schema, is := value.(object); is {
				made[name] = s.schema(schema)
			} else {
				made[name] = value
			}
		case "anyOf": // there is none in Swagger 2.0
		default:
			made[name] = value
		}
	}
	return made
}
