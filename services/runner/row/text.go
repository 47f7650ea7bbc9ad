package row

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"runhook/shared/mapping"
)

// What is wrong with values that no text stands for.
const (
	notSingle = "is a list or an object, not a single value"
	notFinite = "is an infinite number or none (NaN); give another value for it in the mapping, or correct it in the source"
)

// Text is a value as text: digits as they are and at most 15 of a double with a fraction, true or false, times in RFC 3339, binary data in base64, and
// nothing for null. problem says what is wrong with a value that no text stands for; it never shows the value.
func Text(value any) (text, problem string) {
	switch v := value.(type) {
	case string:
		return v, ""
	case nil:
		return "", ""
	case bool:
		return strconv.FormatBool(v), ""
	case int:
		return strconv.Itoa(v), ""
	case int64:
		return strconv.FormatInt(v, 10), ""
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return "", notFinite
		}
		return strconv.FormatFloat(mapping.Shown(v), 'f', -1, 64), ""
	case json.Number:
		return v.String(), ""
	case []byte:
		return base64.StdEncoding.EncodeToString(v), ""
	case time.Time:
		return v.Format(time.RFC3339Nano), ""
	case time.Duration:
		return v.String(), ""
	}
	return "", notSingle
}
