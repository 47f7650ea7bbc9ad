package ingress

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"html"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// datum is a value of JSON, or of a text that says the same in another way.
type datum struct {
	// name is that of the member; elements of a list have the list's.
	name string
	// kind is '{' of an object, '[' of a list, '"' of a text; 0 of no datum; another of other values.
	kind  rune
	text  string
	parts []datum
}

// data is what a text is from its first to its last character, the ways in which flows write a body: JSON, a literal
// of a language, XML, a form, lines of names and values; or any of them escaped or in base64. Of any other text, such
// as prose, a page, an address, the kind is 0. It also returns how many texts within it may be opened.
func (s *search) data(text, member string, texts int) (datum, int) {
	text = strings.TrimSpace(strings.TrimPrefix(text, string(byteOrderMark)))
	if texts == 0 || len(text) < len("a=b") {
		return datum{}, 0
	}
	if strings.Count(text, "[")+strings.Count(text, "{")+strings.Count(text, "(") <= maxBrackets {
		for _, read := range []func(text, member string) datum{fromJSON, fromLiteral, fromXML, fromParts, fromPairs} {
			if d := read(text, member); d.kind != 0 {
				return d, texts - 1
			}
		}
	}
	return s.data(s.decoded(text), member, texts-1)
}

// inJSON escapes in a text what a string of JSON must escape.
var inJSON = strings.NewReplacer(`\\`, `\\`, `\"`, `\"`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// fromString is the text that is escaped as in JSON, in quotes or without.
func fromString(text string) (plain string, ok bool) {
	if text[0] == '"' && json.Unmarshal([]byte(text), &plain) == nil {
		return plain, true
	}
	return plain, strings.Contains(text, `\`) && json.Unmarshal([]byte(`"`+inJSON.Replace(text)+`"`), &plain) == nil
}

func fromJSON(text, member string) datum {
	if strings.IndexByte("{[/", text[0]) < 0 { // / begins a comment
		return datum{}
	}
	if parsed, err := hujson.Parse([]byte(text)); err == nil {
		return datumOf(member, parsed.Value)
	}
	d, err := datum{name: member, kind: '['}, error(nil)
	for in := json.NewDecoder(strings.NewReader(text)); err == nil; { // one in each line
		var value json.RawMessage
		if err = in.Decode(&value); err == nil {
			parsed, _ := hujson.Parse(value)
			d.parts = append(d.parts, datumOf(member, parsed.Value))
		}
	}
	if err != io.EOF {
		return datum{}
	}
	return d
}

func datumOf(name string, value hujson.ValueTrimmed) datum {
	d := datum{name: name, kind: rune(value.Kind())}
	switch value := value.(type) {
	case *hujson.Object:
		d.parts = make([]datum, 0, len(value.Members))
		for _, m := range value.Members {
			d.parts = append(d.parts, datumOf(textOf(m.Name.Value.(hujson.Literal)), m.Value.Value))
		}
	case *hujson.Array:
		d.parts = make([]datum, 0, len(value.Elements))
		for i := range value.Elements {
			d.parts = append(d.parts, datumOf(name, value.Elements[i].Value))
		}
	case hujson.Literal:
		if d.kind == '"' {
			d.text = textOf(value)
		}
	}
	return d
}

// textOf is the text of a JSON string.
func textOf(literal hujson.Literal) string {
	if bytes.IndexByte(literal, '\\') < 0 {
		return string(literal[1 : len(literal)-1])
	}
	return literal.String()
}

// markup are the elements of HTML and SVG that pages and messages for people begin with, whose attributes are no
// parameters; without those, such as data and address, that other XML has as well.
var markup = wordSet(`a abbr article aside audio b base blockquote br button canvas caption center cite code col
	colgroup dd del details dfn dialog dir div dl dt em embed fieldset figcaption figure font footer form frame frameset
	h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label legend li main mark marquee math menu meta
	meter nav noscript ol optgroup p picture pre progress q rp rt ruby s samp script section select small span strike
	strong style sub summary sup svg table tbody td textarea tfoot th thead tr tt u ul video wbr
	circle defs ellipse g line path polygon polyline rect tspan`)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

// fromXML reads elements as objects of their attributes and elements, or as texts.
func fromXML(text, member string) datum {
	if text[0] != '<' {
		return datum{}
	}
	tokens := xml.NewDecoder(strings.NewReader(text))
	tokens.Strict, tokens.Entity = false, xml.HTMLEntity
	tokens.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is a text already
	open, first := []datum{{name: member, kind: '{'}}, true
	for {
		token, err := tokens.RawToken()
		if err == io.EOF && !first && len(open) == 1 {
			return open[0]
		}
		if err != nil {
			return datum{}
		}
		top := &open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			if lower := strings.ToLower(name); first && markup[lower] && (name == lower || name == strings.ToUpper(name)) {
				return datum{}
			}
			first = first && strings.EqualFold(name, "body") // a page's, or one that wraps parameters
			element := datum{name: name, kind: '{'}
			for _, attribute := range token.Attr {
				element.parts = append(element.parts, datum{name: attribute.Name.Local, kind: '"', text: attribute.Value})
			}
			open = append(open, element)
		case xml.CharData:
			if words := strings.TrimSpace(string(token)); words != "" && len(open) == 1 {
				return datum{}
			} else if top.text == "" {
				top.text = words
			}
		case xml.EndElement:
			element := *top
			if len(open) == 1 || element.name != token.Name.Local {
				return datum{}
			}
			if len(element.parts) == 0 {
				element.kind = '"'
			} else if element.text != "" {
				element.parts = append(element.parts, datum{name: "value", kind: '"', text: element.text})
			}
			open = open[:len(open)-1]
			open[len(open)-1].parts = append(open[len(open)-1].parts, element)
		}
	}
}

// fromParts reads a form that browsers and flows send in parts, or the header of a part.
func fromParts(text, member string) datum {
	if !strings.HasPrefix(text, "--") && !strings.HasPrefix(text, "form-data;") {
		return datum{}
	}
	d := datum{name: member}
	for _, part := range strings.Split(strings.ReplaceAll(text, "\r", ""), "form-data;")[1:] {
		header, value, _ := strings.Cut(part, "\n\n")
		value, _, _ = strings.Cut(value, "\n--")
		_, name, _ := strings.Cut(header, "name=")
		name, _, _ = strings.Cut(strings.ReplaceAll(name, "\n", ";"), ";")
		d.kind, d.parts = '{', append(d.parts, datum{name: strings.Trim(name, `" `), kind: '"', text: value})
	}
	return d
}

// wrappers are members in which one name with a value is data: flows put bodies into them.
var wrappers = wordSet(`body rawbody requestbody data payload content input inputs request form json yaml args arguments
	filter filters parameters parameter params param query queryparams queryparam querystring`)

// fromPairs reads names and values, two or more, or one in a wrapper: a form, or lines with : or = as of YAML and TOML,
// beside which may be comments and titles of sections. A name with signs of an address is somebody else's.
func fromPairs(text, member string) datum {
	d, parent, sentence := datum{name: member, kind: '{'}, false, false
	if _, ok := fromString(text); ok {
		return datum{} // its lines are escaped
	}
	for line := range strings.Lines(strings.TrimPrefix(text, "?")) {
		line = strings.TrimRight(line, "\r\n")
		bare := strings.TrimLeft(line, " \t")
		if strings.Trim(bare, blanks+"-.") == "" || bare[0] == '#' || bare[0] == '[' && bare[len(bare)-1] == ']' {
			continue
		}
		at, parts := strings.IndexAny(bare, ":="), []string{bare}
		if at < 0 || parent && bare == line {
			return datum{}
		}
		isForm := bare[at] == '='
		if isForm && !strings.Contains(bare, " = ") {
			parts = strings.Split(bare, "&")
		}
		for _, part := range parts {
			name, value, ok := strings.Cut(part, bare[at:at+1])
			name = strings.Trim(name, " \t\"'")
			if !ok || name == "" || strings.ContainsAny(name[:1], "-*|[(") || strings.ContainsAny(name, "{}<>;") || strings.Count(name, "(") != strings.Count(name, ")") ||
				isForm && (strings.ContainsAny(name, "/?") || strings.HasPrefix(value, "=")) || !isForm && value != "" && value[0] != ' ' && value[0] != '\t' {
				return datum{}
			}
			sentence = isForm && (value == "" || strings.ContainsAny(name, " \t")) // or the end of base64
			pair := datum{name: unescaped(name), kind: '"', text: unescaped(strings.TrimSpace(value))}
			if parent = !isForm && value == ""; parent {
				pair.kind = '{' // the lines below
			}
			d.parts = append(d.parts, pair)
		}
	}
	if len(d.parts) > 1 || len(d.parts) == 1 && !sentence && wrappers[lettersOf(member)] {
		return d
	}
	return datum{}
}

// unescaped is a text without the signs of an address.
func unescaped(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// decoded is the text that a text stands for: as a string of JSON, in base64, escaped as in addresses or HTML; else
// none.
func (s *search) decoded(text string) string {
	if plain, ok := fromString(text); ok {
		return plain
	}
	if strings.HasPrefix(text, "data:") {
		_, text, _ = strings.Cut(text, ",")
	}
	if inside := s.fromBase64(text); inside != "" {
		return inside
	}
	plain := html.UnescapeString(text)
	if strings.Contains(text, "%") {
		plain = unescaped(text)
	}
	if plain == text {
		return ""
	}
	return plain
}

// fromBase64 is the text that a text is in base64, with or without its end and in lines, as the $content of flows is.
func (s *search) fromBase64(text string) string {
	coding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		coding = base64.RawURLEncoding
	}
	data, err := coding.DecodeString(strings.TrimRight(strings.ReplaceAll(text, " ", "+"), "=")) // a + of a query string is a blank
	if err != nil {
		return ""
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		in, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return ""
		}
		if data, err = io.ReadAll(io.LimitReader(in, s.room)); err != nil {
			return ""
		}
		s.room -= int64(len(data))
	}
	data = bytes.ReplaceAll(bytes.TrimPrefix(data, []byte{0xff, 0xfe}), []byte{0}, nil) // of UTF-16
	if !utf8.Valid(data) {
		return ""
	}
	return string(data)
}
