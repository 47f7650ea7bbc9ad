package csvfile

import "strings"

// errorWords are what spreadsheet programs write for a cell that could not be computed, in the languages
// that have words of their own.
var errorWords = map[string]bool{
	"#DIV/0!": true, "#N/A": true, "#NAME?": true, "#NULL!": true, "#NUM!": true, "#REF!": true, "#VALUE!": true,
	"#GETTING_DATA": true, "#SPILL!": true, "#CALC!": true, "#FIELD!": true, "#BLOCKED!": true, "#CONNECT!": true,
	"#BUSY!": true, "#UNKNOWN!": true, "#EXTERNAL!": true, "#PYTHON!": true, "#TIMEOUT!": true, "#ERROR!": true, "#MACRO?": true,
	"#NV": true, "#BEZUG!": true, "#WERT!": true, "#ZAHL!": true, "#ÜBERLAUF!": true, // German
	"#NOM?": true, "#VALEUR!": true, "#NOMBRE!": true, "#NUL!": true, "#PROPAGATION!": true, // French
	"#N/D": true, "#¡DIV/0!": true, "#¿NOMBRE?": true, "#¡NULO!": true, "#¡NUM!": true, "#¡REF!": true, "#¡VALOR!": true, // Spanish
	"#NOME?": true, "#NULO!": true, "#VALOR!": true, "#NÚM!": true, // Portuguese
	"#RIF!": true, "#VALORE!": true, "#NULLO!": true, // Italian
	"#N/B": true, "#NAAM?": true, "#VERW!": true, "#WAARDE!": true, "#GETAL!": true, "#LEEG!": true, "#DEEL/0!": true, // Dutch
	"#SAKNAS!": true, "#SKÄRNING!": true, "#NAMN?": true, "#REFERENS!": true, "#VÄRDEFEL!": true, "#OGILTIGT!": true, "#DIVISION/0!": true, // Swedish
	"#I/T": true, "#NAVN?": true, "#VÆRDI!": true, "#VERDI!": true, "#REFERENCE!": true, // Danish and Norwegian
	"#N/D!": true, "#NAZWA?": true, "#ADR!": true, "#ARG!": true, "#LICZBA!": true, "#ZERO!": true, // Polish
	"#Н/Д": true, "#ДЕЛ/0!": true, "#ИМЯ?": true, "#ПУСТО!": true, "#ЧИСЛО!": true, "#ССЫЛКА!": true, "#ЗНАЧ!": true, // Russian
}

// IsError reports whether a cell is an error of a spreadsheet program: #DIV/0!, Err:502.
func IsError(text string) bool {
	if code, ok := strings.CutPrefix(text, "Err:"); ok {
		return len(code) == 3 && strings.Trim(code, "0123456789") == ""
	}
	return errorWords[strings.TrimRight(text, " ")]
}
