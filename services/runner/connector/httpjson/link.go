package httpjson

import "strings"

// nextLink is the address that Link headers (RFC 8288) have as rel=next, "" for none.
func nextLink(headers []string) string {
	for _, header := range headers {
		for rest := header; ; {
			_, after, found := strings.Cut(rest, "<")
			if !found {
				break
			}
			target, params, closed := strings.Cut(after, ">")
			if !closed {
				break
			}
			var next bool
			if next, rest = cutParams(params); next {
				return strings.TrimSpace(target)
			}
		}
	}
	return ""
}

// cutParams reads the parameters of one link, up to its comma, and says whether rel=next is among
// them.
func cutParams(text string) (next bool, rest string) {
	for {
		text = strings.TrimLeft(text, "; \t")
		if text == "" || text[0] == ',' {
			return next, strings.TrimPrefix(text, ",")
		}
		end := strings.IndexAny(text, "=;,")
		if end < 0 {
			return next, ""
		}
		name, value := strings.TrimSpace(text[:end]), ""
		if text[end] != '=' {
			text = text[end:]
			continue
		}
		value, text = cutValue(strings.TrimLeft(text[end+1:], " \t"))
		if strings.EqualFold(name, "rel") {
			for relation := range strings.FieldsSeq(value) {
				next = next || strings.EqualFold(relation, "next")
			}
		}
	}
}

// cutValue cuts a parameter's value off, which may stand in quotes, and does in single ones of some services.
func cutValue(text string) (value, rest string) {
	if text == "" || text[0] != '"' && text[0] != '\'' {
		end := strings.IndexAny(text, ";,")
		if end < 0 {
			end = len(text)
		}
		return strings.TrimSpace(text[:end]), text[end:]
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[0]:
			return text[1:i], text[i+1:]
		}
	}
	return text[1:], ""
}
