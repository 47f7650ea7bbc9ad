package ingress

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"html"
	"io"
	"mime"
	"mime/multipart"
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
	if strings.ContainsAny(text, "{[(<=:") { // else a word, most often
		if strings.Count(text, "[")+strings.Count(text, "{")+strings.Count(text, "(") > maxBrackets {
			return datum{}, 0
		}
		for _, read := range []func(text, member string) datum{fromJSON, fromLiteral, fromXML, fromParts, fromForm, fromLines} {
			if d := read(text, member); d.kind != 0 {
				return d, texts - 1
			}
		}
	}
	return s.data(s.decoded(text), member, texts-1)
}

func fromJSON(text, member string) datum {
	if text[0] != '{' && text[0] != '[' {
		return datum{}
	}
	parsed, err := hujson.Parse([]byte(text))
	if err != nil {
		return datum{}
	}
	return datumOf(member, parsed.Value)
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
	d := datum{name: member, kind: '{'}
	if strings.HasPrefix(text, "form-data") {
		_, header, err := mime.ParseMediaType(text)
		if err != nil {
			return datum{}
		}
		d.parts = []datum{{name: header["name"], kind: '"'}}
		return d
	}
	boundary, _, ok := strings.Cut(text, "\n")
	boundary = strings.TrimSpace(boundary)
	if !ok || len(boundary) < len("--b") || boundary[:2] != "--" {
		return datum{}
	}
	for in := multipart.NewReader(strings.NewReader(text), boundary[2:]); ; {
		part, err := in.NextPart()
		if err != nil {
			break
		}
		value, _ := io.ReadAll(part) // of one that is cut, what there is
		d.parts = append(d.parts, datum{name: part.FormName(), kind: '"', text: string(value)})
	}
	if len(d.parts) == 0 {
		return datum{}
	}
	return d
}

// fromForm reads a=b&c=d, also in lines. Names have no blanks but escaped ones, and no signs of an address: what
// follows in that is somebody else's.
func fromForm(text, member string) datum {
	d := datum{name: member, kind: '{'}
	for part := range strings.FieldsFuncSeq(strings.TrimPrefix(text, "?"), func(r rune) bool { return r == '&' || r == '\n' }) {
		name, value, ok := strings.Cut(part, "=")
		if !ok || strings.ContainsAny(name, " \t/?:#<>{}()\"'`,;!*|") {
			return datum{}
		}
		name, err := url.QueryUnescape(name)
		if err != nil || name == "" {
			return datum{}
		}
		if plain, err := url.QueryUnescape(value); err == nil {
			value = plain
		}
		d.parts = append(d.parts, datum{name: name, kind: '"', text: value})
	}
	if len(d.parts) == 1 && strings.Trim(d.parts[0].text, "=") == "" {
		return datum{} // the end of base64
	}
	return d
}

// wrappers are members in which a single line is data: flows put bodies into them.
var wrappers = wordSet(`body rawbody requestbody data payload content input inputs request form json yaml args arguments
	filter filters parameters parameter params param query queryparams queryparam querystring`)

// fromLines reads lines all of which are names and values, as in YAML: two or more, or one in a wrapper.
func fromLines(text, member string) datum {
	d, parent := datum{name: member, kind: '{'}, false
	for line := range strings.Lines(strings.TrimPrefix(text, "---")) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		indented := strings.TrimLeft(name, " \t") != name
		name = strings.Trim(name, " \t\"'")
		isName := ok && name != "" && !strings.ContainsAny(name[:1], "-*#|[(") && !strings.ContainsAny(name, "{}<>;=") && strings.Count(name, "(") == strings.Count(name, ")")
		if !isName || parent && !indented || value != "" && value[0] != ' ' && value[0] != '\t' {
			return datum{}
		}
		part := datum{name: name, kind: '"', text: strings.TrimSpace(value)}
		if parent = value == ""; parent {
			part.kind = '{' // the lines below
		}
		d.parts = append(d.parts, part)
	}
	if len(d.parts) > 1 || len(d.parts) == 1 && wrappers[lettersOf(member)] {
		return d
	}
	return datum{}
}

// decoded is the text that a text stands for: as a string of JSON, in base64, escaped as in addresses or HTML; else
// none.
func (s *search) decoded(text string) string {
	var quoted string
	if text[0] == '"' && json.Unmarshal([]byte(text), &quoted) == nil {
		return quoted
	}
	if strings.HasPrefix(text, "data:") {
		_, text, _ = strings.Cut(text, ",")
	}
	if inside := s.fromBase64(text); inside != "" {
		return inside
	}
	if strings.Contains(text, "%") {
		if plain, err := url.QueryUnescape(text); err == nil {
			return plain
		}
	}
	if plain := html.UnescapeString(text); plain != text {
		return plain
	}
	return ""
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
