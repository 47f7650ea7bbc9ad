package run

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// writer writes one JSON object, member by member. What IfAny and IfSet write is left out where it has
// its zero value, as omitempty asks.
type writer struct {
	data []byte
	// failed: something cannot be encoded. encoding/json says what.
	failed bool
}

// newWriter begins the object; size is about how many bytes it will have.
func newWriter(size int) writer { return writer{data: append(make([]byte, 0, size), '{')} }

// finish ends the object, which is value's. It takes a copy of that only where it needs one, so that
// encoding alone moves nothing to the heap.
func finish[T any](w *writer, value *T) ([]byte, error) {
	if w.failed {
		return json.Marshal(*value)
	}
	return append(w.data, '}'), nil
}

func (w *writer) open(name string) {
	w.name(name)
	w.data = append(w.data, '{')
}

// openKey opens an object whose name is any text.
func (w *writer) openKey(key string) {
	w.comma()
	w.string(key)
	w.data = append(w.data, ':', '{')
}

func (w *writer) close() { w.data = append(w.data, '}') }

func (w *writer) openList(name string) {
	w.name(name)
	w.data = append(w.data, '[')
}

func (w *writer) closeList() { w.data = append(w.data, ']') }

// element opens an object that is an element of a list.
func (w *writer) element() {
	w.comma()
	w.data = append(w.data, '{')
}

func (w *writer) text(name, value string) {
	w.name(name)
	w.string(value)
}

func (w *writer) textIfAny(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *writer) null(name string) {
	w.name(name)
	w.data = append(w.data, "null"...)
}

func (w *writer) flag(name string, value bool) {
	w.name(name)
	w.data = strconv.AppendBool(w.data, value)
}

func (w *writer) flagIfSet(name string, value bool) {
	if value {
		w.flag(name, value)
	}
}

func (w *writer) integer(name string, value int64) {
	w.name(name)
	w.data = strconv.AppendInt(w.data, value, 10)
}

func (w *writer) integerIfAny(name string, value int64) {
	if value != 0 {
		w.integer(name, value)
	}
}

func (w *writer) unsigned(name string, value uint64) {
	w.name(name)
	w.data = strconv.AppendUint(w.data, value, 10)
}

func (w *writer) unsignedIfAny(name string, value uint64) {
	if value != 0 {
		w.unsigned(name, value)
	}
}

func (w *writer) float(name string, value float64) {
	w.name(name)
	if size := math.Abs(value); size == 0 || (size >= 1e-6 && size < 1e21) {
		w.data = strconv.AppendFloat(w.data, value, 'f', -1, 64)
		return
	}
	w.other(value)
}

// moment writes a document's time.
func (w *writer) moment(name string, value *Time) {
	if value == nil {
		w.null(name)
		return
	}
	w.name(name)
	w.data = append(value.appendTo(append(w.data, '"')), '"')
}

func (w *writer) time(name string, value time.Time) {
	w.name(name)
	data, err := value.AppendText(append(w.data, '"'))
	w.data, w.failed = append(data, '"'), w.failed || err != nil
}

// name begins a member. The name is plain.
func (w *writer) name(name string) {
	w.comma()
	w.data = append(append(append(w.data, '"'), name...), '"', ':')
}

func (w *writer) comma() {
	if last := w.data[len(w.data)-1]; last != '{' && last != '[' {
		w.data = append(w.data, ',')
	}
}

// plain are the characters that stand for themselves in every JSON text.
var plain = func() (plain [256]bool) {
	for c := ' '; c <= '~'; c++ {
		plain[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return plain
}()

// string writes a text. Those with anything that encoding/json escapes or may replace are its own.
func (w *writer) string(text string) {
	for i := range len(text) {
		if !plain[text[i]] {
			w.other(text)
			return
		}
	}
	w.data = append(append(append(w.data, '"'), text...), '"')
}

// other writes a value as encoding/json does.
func (w *writer) other(value any) {
	data, err := json.Marshal(value)
	w.data, w.failed = append(w.data, data...), w.failed || err != nil
}
