package ingress

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"html"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// maxTexts bounds how many texts within each other are opened: a text of JSON, base64 of it, and so on.
const maxTexts = 6

// The ways in which programs write names beside values, without being JSON.
var (
	// assigned are the names of an object of JavaScript, Python, Ruby or PowerShell.
	assigned = regexp.MustCompile(`(?:^|[^\p{L}\p{N}_$.'"])['"]?([\p{L}_$][\p{L}\p{N}_$.-]*)['"]?\s*(?:=>|[:=])`)
	// entry is a line of YAML.
	entry = regexp.MustCompile(`^[-\s]*['"]?([\p{L}_$][\p{L}\p{N}_$.-]*)['"]?\s*:(?:\s|$)`)
	// field is a part of a form that browsers and flows send in parts.
	field = regexp.MustCompile(`(?i)form-data\s*;[^\r\n]*?\bname="?([^";\r\n]+)`)
	// markup is an element of a page or message for people, whose attributes are no parameters.
	markup = regexp.MustCompile(`(?i)<(!doctype html|html|head|div|span|br|p|td|img|style|script)\b`)
	// address is the beginning of one: what follows is somebody else's.
	address = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)
)

// text searches a text in which flows write a body: JSON or what looks like it, XML, a form, or any of them in
// base64 or escaped.
func (s *search) text(text string, path []string, texts int) {
	text = strings.TrimSpace(strings.TrimPrefix(text, string(byteOrderMark)))
	before := len(s.faults)
	if inside := jsonIn(text); inside != nil && texts > 0 {
		s.below(inside, path, texts-1)
		return
	}
	for _, inside := range decoded(text) {
		if texts > 0 {
			s.text(inside, path, texts-1)
		}
	}
	if strings.HasPrefix(text, "<") {
		if !markup.MatchString(text) {
			s.xml(text, path)
		}
	} else if at := strings.IndexByte(text, '{'); at >= 0 {
		for _, name := range assigned.FindAllStringSubmatch(text[at:], -1) {
			s.named(name[1], append(path, "."+name[1]))
		}
	} else {
		s.lines(text, path)
	}
	for _, name := range field.FindAllStringSubmatch(text, -1) {
		s.named(name[1], append(path, "."+name[1]))
	}
	if len(s.faults) > before {
		return
	}
	if strings.Contains(strings.ToLower(text), queryParameters) {
		s.report(path, "is a text that names QueryParameters")
	} else if form, err := url.ParseQuery(strings.TrimPrefix(text, "?")); err == nil && strings.Contains(text, "=") {
		for _, name := range slices.Sorted(maps.Keys(form)) {
			s.named(name, path)
		}
	}
}

// xml searches elements and attributes, also those that have names as their text: <param name="State">.
func (s *search) xml(text string, path []string) {
	tokens := xml.NewDecoder(strings.NewReader(text))
	tokens.Strict, tokens.AutoClose, tokens.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	within := ""
	for {
		token, err := tokens.RawToken()
		if err != nil {
			return // its end, or what is no XML
		}
		switch token := token.(type) {
		case xml.StartElement:
			within = token.Name.Local
			s.named(within, append(path, "."+within))
			for _, attribute := range token.Attr {
				s.named(attribute.Name.Local, append(path, "."+attribute.Name.Local))
				if slices.Contains(nameMembers, foldCase(attribute.Name.Local)) {
					s.named(attribute.Value, append(path, "."+attribute.Name.Local))
				}
			}
		case xml.CharData:
			if slices.Contains(nameMembers, foldCase(within)) {
				s.named(string(token), append(path, "."+within))
			}
		case xml.EndElement:
			within = ""
		}
	}
}

// lines searches a text all of whose lines are names with values, as in YAML.
func (s *search) lines(text string, path []string) {
	var names []string
	for line := range strings.Lines(text) {
		name := entry.FindStringSubmatch(line)
		if name == nil && strings.TrimSpace(line) != "" {
			return
		}
		if name != nil {
			names = append(names, name[1])
		}
	}
	for _, name := range names {
		s.named(name, append(path, "."+name))
	}
}

// decoded are the texts that a text may stand for: it is base64, also of UTF-16 or as an address or token, a
// string of JSON, or escaped as in addresses or HTML.
func decoded(text string) (texts []string) {
	data := text
	if rest, isData := strings.CutPrefix(text, "data:"); isData {
		_, data, _ = strings.Cut(rest, ",")
	}
	if parts := strings.Split(data, "."); len(parts) <= 3 { // as many as a token has
		for _, part := range parts {
			if inside, ok := fromBase64(part); ok {
				texts = append(texts, inside)
			}
		}
	}
	// One of these at a time: the other is found in what it gives.
	var quoted string
	plain, err := url.PathUnescape(text)
	switch {
	case strings.HasPrefix(text, `"`) && json.Unmarshal([]byte(text), &quoted) == nil:
		return append(texts, quoted)
	case err == nil && plain != text && !address.MatchString(text):
		return append(texts, plain)
	case html.UnescapeString(text) != text:
		return append(texts, html.UnescapeString(text))
	}
	return texts
}

// fromBase64 is the text that a text is in base64, with or without its end and in lines, as the $content of flows is.
func fromBase64(text string) (string, bool) {
	text = strings.TrimRight(strings.NewReplacer("\r", "", "\n", "", " ", "", "\t", "").Replace(text), "=")
	for _, coding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		data, err := coding.DecodeString(text)
		if err != nil || len(data) == 0 {
			continue
		}
		data = bytes.ReplaceAll(bytes.TrimPrefix(data, []byte{0xff, 0xfe}), []byte{0}, nil) // of UTF-16
		return string(data), utf8.Valid(data)
	}
	return "", false
}

// jsonIn is the object or array that a text is; nil for any other text.
func jsonIn(text string) hujson.ValueTrimmed {
	data := []byte(text)
	if len(data) == 0 || data[0] != '{' && data[0] != '[' || bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxBrackets {
		return nil
	}
	parsed, err := hujson.Parse(data)
	if err != nil {
		return nil
	}
	return parsed.Value
}
