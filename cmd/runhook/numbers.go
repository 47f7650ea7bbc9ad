package main

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"runhook/shared/taskfile"
)

// numbers is how kong reads numbers, sizes and times.
var numbers = []kong.Option{
	number("a whole number", strconv.Atoi),
	number("a size such as 500MB or 10GiB", parseCapacity),
	number("a length of time such as 365d, 12h or 30m", parseSpan),
	number("the number that a list gives for its next page, 1 or more", parsePage),
	number("now, a length of time such as 30d, or a date such as 2031-01-31", parseMoment),
}

// number has kong read the flags of a type with parse. A value below zero is one, so that the command says what
// its bounds are; anything else that begins with a hyphen is the next flag.
func number[T any](like string, parse func(text string) (T, error)) kong.Option {
	return kong.TypeMapper(reflect.TypeFor[T](), kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		token := ctx.Scan.Peek()
		text := fmt.Sprint(token.Value)
		if belowZero := len(text) > 1 && text[0] == '-' && text[1] >= '0' && text[1] <= '9'; !token.IsValue() && !belowZero {
			return fmt.Errorf("no value was given; pass %s", like)
		}
		ctx.Scan.Pop()
		value, err := parse(text)
		if err != nil {
			return fmt.Errorf("%q is not %s", text, like)
		}
		target.Set(reflect.ValueOf(value))
		return nil
	}))
}

// given is the value of a flag, zero where the flag is left out.
func given[T any](flag *T) (value T) {
	if flag != nil {
		value = *flag
	}
	return value
}

// page is the number below which a list goes on; 0 where none is given.
type page uint64

// parsePage reads the number of a next page.
func parsePage(text string) (page, error) {
	number, err := strconv.ParseUint(text, 10, 64)
	if err == nil && number == 0 {
		err = strconv.ErrRange
	}
	return page(number), err
}

// capacity is a number of bytes on the command line: 500MB, 10GiB, or a plain number.
type capacity int64

// parseCapacity reads a number with a unit of 1000 (MB) or of 1024 (MiB).
func parseCapacity(text string) (capacity, error) {
	number, unit := text, int64(1)
	for i, name := range []string{"K", "M", "G", "T"} {
		for suffix, base := range map[string]float64{"iB": 1 << 10, "B": 1000, "": 1000} {
			if cut, ok := strings.CutSuffix(text, name+suffix); ok {
				number, unit = cut, int64(math.Pow(base, float64(i+1)))
			}
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err == nil && (math.IsNaN(n) || math.Abs(n)*float64(unit) >= math.MaxInt64) {
		err = strconv.ErrRange
	}
	return capacity(n * float64(unit)), err
}

// parseSpan reads a Go duration or, as only here, a number of days.
func parseSpan(text string) (time.Duration, error) {
	days, ok := strings.CutSuffix(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.Atoi(days)
	if err == nil && (n > 36500 || n < -36500) {
		err = strconv.ErrRange
	}
	return time.Duration(n) * 24 * time.Hour, err
}

// moment is a moment on the command line, fixed or counted from now.
type moment struct {
	from time.Duration
	at   time.Time
}

// parseMoment reads now, a length of time, a date or a moment.
func parseMoment(text string) (moment, error) {
	if text == "now" {
		return moment{}, nil
	}
	if length, err := parseSpan(text); err == nil {
		if length <= 0 {
			err = errors.New("it has passed")
		}
		return moment{from: length}, err
	}
	at, err := taskfile.ParseMoment(text)
	return moment{at: at}, err
}

func (m moment) after(now time.Time) time.Time {
	if m.at.IsZero() {
		return now.Add(m.from)
	}
	return m.at
}
