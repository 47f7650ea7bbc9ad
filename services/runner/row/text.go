package row

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
)

// Text is a value as text: digits as they are, true or false, times in RFC 3339, binary data in base64, and
// nothing for null. It is false for lists and objects, which are not single values.
func Text(value any) (text string, ok bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case nil:
		return "", true
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case json.Number:
		return v.String(), true
	case []byte:
		return base64.StdEncoding.EncodeToString(v), true
	case time.Time:
		return v.Format(time.RFC3339Nano), true
	case time.Duration:
		return v.String(), true
	}
	return "", false
}
