package mapping

import (
	"fmt"
	"regexp"
)

// reasonOf is what a message of the language says of a row, "" if that is not known. The message itself may
// quote a cell.
func reasonOf(message string) string {
	for _, known := range knownMessages {
		match := known.pattern.FindStringSubmatch(message)
		if match == nil {
			continue
		}
		var said []any
		for _, kind := range match[1:] {
			if kinds[kind] == "" {
				return ""
			}
			said = append(said, kinds[kind])
		}
		return fmt.Sprintf(known.reason, said...)
	}
	return ""
}

// kinds are the types of Go, which the language's messages name, as a person says them.
var kinds = map[string]string{
	"string": "a text", "[]uint8": "binary data", "int": "a whole number", "int64": "a whole number", "float": "a number", "float64": "a number", "json.Number": "a number",
	"bool": "true or false", "time.Time": "a date", "time.Duration": "a duration", "[]interface {}": "a list", "slice": "a list", "[]string": "a list",
	"map[string]interface {}": "an object", "map": "an object", "nil": "no value", "<nil>": "no value",
}

// knownMessages are the beginnings of messages, and what is said instead, with the kinds that they name.
var knownMessages = func() (known []struct {
	pattern *regexp.Regexp
	reason  string
},
) {
	for _, m := range [][2]string{
		{`interface conversion: interface \{\} is (\[\]uint8|int|int64|float64|json\.Number|bool|time\.Time), not string$`, "it takes a text, and gets %s; make a text of it with string(…)"},
		{`interface conversion: interface \{\} is (.+), not (.+)$`, "it gets %s, and takes %s"},
		{`invalid operation: (int|float)\((.+)\)$`, "it takes %s, and gets %s"},
		{`invalid operation: - (.+)$`, "it takes a number, and gets %s"},
		{`invalid operation: (.+) (?:[-+*/%<>^]|<=|>=|\*\*) (.+)$`, "it cannot take %s and %s together; convert one of them, as with string(…) or number(…)"},
		{`invalid argument for repeat \(expected`, "it cannot repeat a text less than 0 times"},
		{`invalid argument for \w+ \(type (.+)\)$`, "it does not take %s"},
		{`index out of range`, "the list or text has no such place"},
		{`cannot fetch .* from (.+)$`, "%s has no such part"},
		{`cannot get \w+ from (.+)$`, "it takes an object, and gets %s"},
		{`cannot concat `, "it takes lists; " + joinTexts},
		{`reflect: call of reflect\.Value\.Len on (\S+) Value$`, "it takes a list, and gets %s"},
		{`operator "in" not defined on (.+)$`, "it looks into a list or an object, and gets %s"},
		{`runtime error: integer divide by zero`, "it divides by 0"},
		{`time: (?:invalid|missing|unknown).* duration`, "the text is not a duration like 1h30m, of at most 292 years"},
		{`invalid character|unexpected end of JSON`, "the text is not JSON"},
		{`illegal base64 data`, "the text is not base64"},
	} {
		known = append(known, struct {
			pattern *regexp.Regexp
			reason  string
		}{regexp.MustCompile("^(?s:" + m[0] + ")"), m[1]})
	}
	return known
}()
