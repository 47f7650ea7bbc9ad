package row

import "fmt"

// Record is a row as its source read it, whole. It is kept until it is known whether the row failed,
// so it must not change when the source reads on.
type Record interface {
	// Texts are the row's cells as text, one for each of the source's columns. Of a row that could not
	// be read they are what could.
	Texts() []string
}

// Cells is the record of a row whose cells are values.
type Cells []any

// Texts writes lists and objects as JSON, and as it is what no text stands for.
func (c Cells) Texts() []string {
	texts := make([]string, len(c))
	for i, cell := range c {
		text, problem := Text(cell)
		switch problem {
		case "":
		case notSingle:
			text = string(appendJSON(nil, cell))
		default:
			text = fmt.Sprint(cell)
		}
		texts[i] = text
	}
	return texts
}
