package taskfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// Schema is the JSON Schema (2020-12) of a task file, made from the table of fields, for editors. It
// refuses nothing that Parse accepts, and the other way round as far as a schema can say it: it
// knows neither expressions nor what fields ask of each other.
func Schema() ([]byte, error) {
	schema := sectionSchema(taskFields)
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "A Runhook task"
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		return nil, fmt.Errorf("encode the schema of task files: %w", err)
	}
	return out.Bytes(), nil
}

// object is a JSON object; encoding/json writes it in the order of its names.
type object = map[string]any

// The classes of characters that text on one line may have: any but control characters, and of these
// any but white space.
const (
	oneLine  = "[^\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]*"
	notBlank = "[^\\s\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]"
)

// sectionSchema is the schema of a mapping with the fields of a table.
func sectionSchema(table []field) object {
	properties, required := object{}, []string{}
	for _, f := range table {
		if f.later {
			continue
		}
		properties[f.name] = f.schema()
		if f.required {
			required = append(required, f.name)
		}
	}
	schema := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

// schema is the field's schema with its meaning, default and example.
func (f field) schema() object {
	schema := f.valueSchema()
	if f.meaning != "" {
		schema["description"] = f.meaning
	}
	if f.byDefault != "" {
		schema["default"] = jsonValue(defaultNode(f))
	}
	if f.example != "" && f.kind != kindColumns {
		if example, ok := jsonOf(f.example); ok {
			schema["examples"] = []any{example}
		}
	}
	return schema
}

// valueSchema is what the field's kind takes. A scalar that YAML takes for a number or a truth value is
// text where text is asked for, as it is for the parser.
func (f field) valueSchema() object {
	scalar := object{"type": []string{"string", "number", "boolean"}}
	switch f.kind {
	case kindText:
		scalar["pattern"] = "^" + oneLine + notBlank + oneLine + "$"
		if f.pattern != "" {
			scalar["allOf"] = []any{object{"pattern": f.pattern}}
		}
		if f.max > 0 {
			scalar["maxLength"] = f.max
		}
	case kindExpression:
		scalar["maxLength"] = maxExpressionLetters
	case kindCharacter:
		scalar["pattern"] = `^[^"]$`
	case kindChoice:
		return object{"enum": f.values}
	case kindFlag:
		return object{"type": "boolean"}
	case kindWhole:
		return object{"type": "integer", "minimum": f.min, "maximum": f.max}
	case kindSeconds:
		forms := []any{
			object{"type": "integer", "minimum": f.min, "maximum": f.max},
			object{"type": "string", "pattern": `^\+?([0-9]+|([0-9]+(\.[0-9]*)?(h|m|s|ms|us|µs|ns))+)$`},
		}
		if len(f.values) > 0 {
			forms = append(forms, object{"enum": f.values})
		}
		return object{"anyOf": forms}
	case kindSpan:
		return object{"type": "string", "pattern": `^([1-9][0-9]*d|\+?([0-9]+(\.[0-9]*)?(h|m|s|ms|us|µs|ns))+)$`}
	case kindSize:
		return object{"type": "string", "pattern": `^[1-9][0-9]*[KMG]iB$`}
	case kindRate:
		return object{"type": "string", "pattern": `^[1-9][0-9]*/[smh]$`}
	case kindBound:
		return object{"anyOf": []any{
			object{"type": "integer", "minimum": 0, "maximum": f.max},
			object{"type": "string", "pattern": `^([0-9]+|[0-9.]+%)$`},
		}}
	case kindMoment:
		return object{"type": "string", "pattern": `^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2}))?$`}
	case kindInstant:
		return object{"type": "string", "pattern": `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,]0+)?(Z|[+-][0-9]{2}:[0-9]{2})$`}
	case kindValues:
		value := object{"type": []string{"string", "number", "boolean", "null"}}
		return object{
			"type": "object", "minProperties": 1, "maxProperties": f.max,
			"additionalProperties": object{"anyOf": []any{value, object{"type": "array", "items": value}}},
		}
	case kindTexts:
		if f.nulls {
			scalar["type"] = append(scalar["type"].([]string), "null")
		}
		return f.bounded(object{"type": "array", "items": scalar})
	case kindTextOrTexts:
		if len(f.values) > 0 {
			scalar = object{"enum": f.values}
		}
		return object{"anyOf": []any{scalar, f.bounded(object{"type": "array", "items": scalar})}}
	case kindColumns, kindExpressions:
		scalar["pattern"] = `\S`
		scalar["maxLength"] = maxExpressionLetters
		return object{
			"type": "object", "minProperties": 1, "maxProperties": f.max,
			"propertyNames":        object{"pattern": "^" + oneLine + notBlank + oneLine + "$"},
			"additionalProperties": scalar,
		}
	case kindSection:
		return f.exactlyOne(sectionSchema(f.fields), f.oneOf)
	case kindChoiceOrSection:
		return object{"anyOf": []any{object{"enum": f.values}, sectionSchema(f.fields)}}
	case kindSections:
		return f.bounded(object{"type": "array", "items": f.exactlyOne(sectionSchema(f.fields), f.oneOf)})
	case kindAlternatives:
		var kinds []string
		for _, alternative := range f.fields {
			if alternative.kind == kindSection && !alternative.later {
				kinds = append(kinds, alternative.name)
			}
		}
		return f.exactlyOne(sectionSchema(f.fields), kinds)
	}
	return scalar
}

func (f field) bounded(list object) object {
	if f.max > 0 {
		list["maxItems"] = f.max
	}
	return list
}

// exactlyOne adds to a section's schema that it has exactly one of the fields named.
func (f field) exactlyOne(section object, names []string) object {
	var choices []any
	for _, name := range names {
		choices = append(choices, object{"required": []string{name}})
	}
	if len(choices) > 0 {
		section["oneOf"] = choices
	}
	return section
}

// jsonOf reads a piece of YAML as the JSON that an editor would make of it.
func jsonOf(text string) (any, bool) {
	var node yaml.Node
	if yaml.Unmarshal([]byte(text), &node) != nil || len(node.Content) != 1 {
		return nil, false
	}
	return jsonValue(node.Content[0]), true
}

// jsonValue is a node's value in JSON: dates stay text, as in YAML 1.2.
func jsonValue(node *yaml.Node) any {
	switch node.Kind {
	case yaml.SequenceNode:
		list := make([]any, 0, len(node.Content))
		for _, item := range node.Content {
			list = append(list, jsonValue(item))
		}
		return list
	case yaml.MappingNode:
		members := object{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			members[node.Content[i].Value] = jsonValue(node.Content[i+1])
		}
		return members
	}
	switch node.ShortTag() {
	case "!!bool":
		return node.Value == "true"
	case "!!null":
		return nil
	case "!!int":
		if number, err := strconv.Atoi(node.Value); err == nil {
			return number
		}
	case "!!float":
		if number, err := strconv.ParseFloat(node.Value, 64); err == nil {
			return number
		}
	}
	return node.Value
}
