package httpjson

import (
	"net/http"
	"strconv"
	"strings"

	"runhook/shared/task"
)

// rank is how far a number is known to be that of all rows.
type rank int

const (
	// doubtful: a member may say so, if nothing speaks against it.
	doubtful rank = iota + 1
	// guessed: a member has a name that services give to it.
	guessed
	// standard: a header or a member has it that means nothing else.
	standard
	// declared: the task says so.
	declared
)

// countHeaders have the number of all rows.
var countHeaders = []string{"X-Total-Count", "X-Total", "X-WP-Total", "Total-Count", "X-Pagination-Total-Count", "Items-Total"}

// count is the number of all rows, by what says it; rank is 0 where nothing does.
type count struct {
	rank  rank
	rows  int64
	where string
}

// learn takes a value for the number, or an object that has it: {"value": 25, "relation": "eq"}; unless something surer
// has said it.
func (c *count) learn(value any, where string, rank rank) {
	if object, ok := value.(map[string]any); ok {
		for _, one := range []string{"value", "count"} {
			c.learn(object[one], where+"."+one, rank)
		}
	}
	if rows, ok := whole(value); ok && rank >= c.rank {
		*c = count{rank, rows, where}
	}
}

// learnHeaders takes the number from an answer's headers. total is the task's place.
func (c *count) learnHeaders(answer *http.Response, total string) {
	if total == task.NoTotal {
		return
	}
	for _, name := range countHeaders {
		c.learn(answer.Header.Get(name), name, standard)
	}
	if unit, all, found := strings.Cut(answer.Header.Get("Content-Range"), "/"); found && !strings.HasPrefix(unit, "bytes") {
		c.learn(all, "Content-Range", standard)
	}
	if strings.Contains(total, "-") {
		c.learn(answer.Header.Get(total), total, declared)
	}
}

// whole is a number of rows or pages.
func whole(value any) (int64, bool) {
	text, single := scalar(value)
	if !single {
		return 0, false
	}
	if number, ok := exact(value).(int64); ok {
		return number, number >= 0
	}
	number, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return number, err == nil && number >= 0
}

// counts are what all pages say of the number of all rows. It may change while they are read.
type counts struct {
	count
	least, most int64
}

func (c *counts) add(said count) {
	switch {
	case said.rank == 0 || said.rank < c.rank:
	case said.rank > c.rank:
		*c = counts{said, said.rows, said.rows}
	default:
		c.count, c.least, c.most = said, min(c.least, said.rows), max(c.most, said.rows)
	}
}
