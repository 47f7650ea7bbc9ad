package task

import (
	"strconv"
	"strings"
	"time"
)

// Rate is a number of things in a time. The zero Rate is no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

// parseRate reads a rate like 200/s, of 1 to most.
func parseRate(text string, most int) (Rate, bool) {
	count, unit, _ := strings.Cut(text, "/")
	per, ok := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	number, err := strconv.Atoi(count)
	if !ok || err != nil || strconv.Itoa(number) != count || number < 1 || number > most {
		return Rate{}, false
	}
	return Rate{Count: number, Per: per}, true
}
