package mapping

import (
	"context"
	"encoding/json"
	"math"
	"math/bits"
	"reflect"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/vm/runtime"
)

// An evaluation has a number of steps and an amount of memory. All evaluations of a row have a number of steps
// together too, and what they give has the memory of one. Each turn of a loop takes the steps of what is
// evaluated in it, and what goes through values or makes them takes steps and memory by their size, before
// it does. A row whose evaluation runs out of either fails.
var mostSteps, mostOfRow, mostMemory = 1_000_000, 2_000_000, 32 << 20

const (
	// deepest is how often lists may be nested where a function goes through all that is in them.
	deepest = 100
	// textsAStep is how much of a text one step goes through.
	textsAStep = 64
	// digitsAStep is how many digits one step calculates with, or how many values it compares or replaces.
	digitsAStep = 8
	// valueSize is the memory of one value in a list, mapSize that of a map with few entries, and mapSteps are
	// those that have a loop which makes maps end before they are too much memory.
	valueSize, mapSize, mapSteps = 16, 400, 25
	// light is what a value has that is no burden for a row.
	light = 4 << 10
	// mostTimes is how often the language repeats a text.
	mostTimes = 1_000_000
	// looks is how many steps there are between two looks at the context.
	looks = 10_000
	// mostPattern is how many instructions a regular expression may have, where each takes a part of a step
	// for each character.
	mostPattern, patternsAStep = 10_000, 16
)

// bound is why an evaluation is stopped at its bounds.
type bound string

func (b bound) Error() string { return string(b) }

const (
	tooLong    bound = "it takes more than 1,000,000 steps"
	rowTooLong bound = "with it, the row's expressions take more than 2,000,000 steps"
	tooLarge   bound = "it needs more than 32 MiB of memory"
	tooMany    bound = "with it, the row's values need more than 32 MiB of memory"
	tooDeep    bound = "it goes through lists that are nested more than 100 times"
	oftener    bound = "it repeats a text more than 1,000,000 times"
	tooMighty  bound = "the regular expression has more than 10,000 parts"
)

// budget is what an evaluation has left.
type budget struct {
	ctx           context.Context
	steps, memory int
	// look is at how many steps left the context is looked at.
	look int
	// given is how many steps there were, and over says that there are none left.
	given int
	over  bound
}

// rowBudget is what the evaluations of a row have used.
type rowBudget struct {
	// steps are those that were counted, kept is the memory of what was given, and uncounted about how many bytes
	// straight programs went through.
	steps, kept, uncounted int
}

// renew begins an evaluation, which has no more steps than its row has left.
func (s *Scope) renew(ctx context.Context) {
	s.row.steps += s.given - s.steps
	given, over := mostSteps, tooLong
	if left := max(mostOfRow-s.row.steps, 0); left < given {
		given, over = left, rowTooLong
	}
	s.budget = budget{ctx: ctx, steps: given, memory: mostMemory, look: max(given-looks, 0), given: given, over: over}
}

// spend takes steps.
func (b *budget) spend(steps int) error {
	b.steps -= steps
	if b.steps >= b.look {
		return nil
	}
	if b.steps < 0 {
		return b.over
	}
	b.look = max(b.steps-looks, 0)
	return b.ctx.Err()
}

// hold takes memory, and the steps to fill it.
func (b *budget) hold(size int) error {
	if b.memory -= size; b.memory < 0 {
		return tooLarge
	}
	return b.spend(size / textsAStep)
}

// holdDigits takes what it is to make a number of so many digits.
func (b *budget) holdDigits(digits int) error {
	digits = min(max(digits, 0), maxDigits)
	if err := b.hold(digits); err != nil {
		return err
	}
	return b.spend(digits / digitsAStep)
}

// keep holds what an expression gives against the memory of its row. counted is false for a program that has not
// counted.
func (s *Scope) keep(ctx context.Context, value any, counted bool) error {
	if !counted {
		if isSmall(value) {
			return nil
		}
		s.renew(ctx)
	}
	size, err := s.weigh(value) // who gets it goes through it
	if err != nil || size < light {
		return err
	}
	if s.row.kept += size; s.row.kept > mostMemory {
		return tooMany
	}
	return nil
}

// times multiplies what is not negative, and stops at what nothing can hold.
func times(a, b int) int {
	high, low := bits.Mul(uint(a), uint(b))
	if high > 0 || low > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(low)
}

// weigh goes through all that is in a value, and returns its size.
func (b *budget) weigh(value any) (size int, err error) {
	switch v := value.(type) {
	case nil, bool, int, int64, float64, time.Time, time.Duration:
		return valueSize, nil
	case string:
		return valueSize + len(v), b.spend(len(v) / textsAStep)
	case json.Number:
		return valueSize + len(v), b.spend(2 * len(v) / digitsAStep) // they are read, and calculated with
	}
	return b.weighAll(reflect.ValueOf(value), deepest)
}

func (b *budget) weighAll(value reflect.Value, depth int) (size int, err error) {
	for value.Kind() == reflect.Interface {
		value = value.Elem()
	}
	switch kind := value.Kind(); kind {
	case reflect.String:
		return valueSize + value.Len(), b.spend(1 + value.Len()/textsAStep)
	case reflect.Slice, reflect.Array:
		switch value.Type().Elem().Kind() {
		case reflect.Interface, reflect.Slice, reflect.Array, reflect.Map, reflect.String:
		case reflect.Uint8:
			return valueSize + value.Len(), b.spend(1 + value.Len()/textsAStep)
		default:
			return times(valueSize, 1+value.Len()), b.spend(1 + value.Len())
		}
		if depth == 0 {
			return 0, tooDeep
		}
		size = valueSize
		for i := range value.Len() {
			of, err := b.weighAll(value.Index(i), depth-1)
			if size += of; err != nil {
				return 0, err
			}
		}
		return size, b.spend(1)
	case reflect.Map:
		if depth == 0 {
			return 0, tooDeep
		}
		size = mapSize
		for each := value.MapRange(); each.Next(); {
			for _, part := range []reflect.Value{each.Key(), each.Value()} {
				of, err := b.weighAll(part, depth-1)
				if size += of; err != nil {
					return 0, err
				}
			}
		}
		return size, b.spend(1 + 4*value.Len())
	}
	return valueSize, b.spend(1)
}

// weighEach weighs arguments together.
func (b *budget) weighEach(args []any) (size int, err error) {
	for _, arg := range args {
		of, err := b.weigh(arg)
		if size += of; err != nil {
			return 0, err
		}
	}
	return size, nil
}

// costs are what the calls of functions take, if it is not what their arguments weigh, twice.
var costs = map[string]func(b *budget, args []any) error{
	"repeat": func(b *budget, args []any) error {
		text, _ := args[0].(string)
		count, _ := args[1].(int)
		if err := b.hold(times(len(text), max(count, 0))); err != nil || count <= mostTimes {
			return err
		}
		return oftener
	},
	"replace": func(b *budget, args []any) error {
		text, old, replacement := textAt(args, 0), textAt(args, 1), textAt(args, 2)
		if err := b.search(text, old); err != nil {
			return err
		}
		found := strings.Count(text, old)
		if err := b.spend(found / digitsAStep); err != nil {
			return err
		}
		return b.hold(len(text) + times(found, len(replacement)))
	},
	"join": func(b *budget, args []any) error {
		size, err := b.weigh(args[0])
		if err != nil {
			return err
		}
		return b.hold(size + times(size/valueSize, len(textAt(args, 1))))
	},
	"split": splitCost, "splitAfter": splitCost,
	"indexOf": searchCost, "lastIndexOf": searchCost, "operator contains": searchCost,
	"trim": func(b *budget, args []any) error {
		text, cutset := textAt(args, 0), textAt(args, 1)
		return b.spend(times(len(text), 1+len(cutset)) / textsAStep)
	},
	"toJSON": func(b *budget, args []any) error {
		size, err := b.weigh(args[0])
		if err != nil {
			return err
		}
		return b.hold(times(size, 12)) // escapes, and spaces at the beginning of lines
	},
	forJSON: func(b *budget, args []any) error {
		size, err := b.weigh(args[0])
		if err != nil {
			return err
		}
		return b.hold(times(size, 4)) // a copy
	},
	"fromJSON": func(b *budget, args []any) error {
		text := textAt(args, 0)
		return b.hold(len(text) + times(strings.Count(text, "{"), mapSize) + times(strings.Count(text, ",")+strings.Count(text, "["), 4*valueSize))
	},
	"sort": sortCost, "median": sortCost,
	"uniq": func(b *budget, args []any) error {
		size, err := b.weigh(args[0])
		if err != nil {
			return err
		}
		values := reflect.ValueOf(args[0])
		if kind := values.Kind(); kind != reflect.Slice && kind != reflect.Array {
			return reason("it takes a list")
		}
		return b.spend(times(values.Len(), size/valueSize)) // each is compared with each
	},
	"operator +": calculating, "operator -": calculating, "operator *": calculating, "operator /": calculating, "operator %": calculating,
	"operator **": powerCost, "operator ^": powerCost,
	"number": digitsCost, "int": digitsCost,
	"round": func(b *budget, args []any) error {
		if err := digitsCost(b, args); err != nil || len(args) < 2 {
			return err
		}
		places, _ := placeOf(args[1])
		digits, _ := places.(int)
		return b.holdDigits(digits)
	},
	"string": func(b *budget, args []any) error {
		size, err := b.weigh(args[0])
		if _, isText := args[0].(string); err != nil || isText || size <= valueSize {
			return err
		}
		return b.hold(times(size, 8))
	},
	"len": func(b *budget, args []any) error { return b.spend(len(textAt(args, 0)) / textsAStep) },
	"operator ..": func(b *budget, args []any) error {
		from, to := runtime.ToInt(args[0]), runtime.ToInt(args[1])
		switch {
		case to < from:
			return nil
		case to-from < 0 || to-from >= mostSteps:
			return tooLong
		}
		return b.hold((to - from + 1) * valueSize)
	},
	"timezone": func(b *budget, _ []any) error { return b.spend(500) },
	"date": func(b *budget, args []any) error {
		_, err := b.weigh(args[0])
		return err
	},
	"operator startsWith": weighing, "operator endsWith": weighing, "hasPrefix": weighing, "hasSuffix": weighing,
	"operator in": weighing, "operator ==": weighing, "operator !=": weighing, "operator <": weighing, "operator <=": weighing, "operator >": weighing, "operator >=": weighing,
	partOfText: weighing, place: weighing, groupKey: weighing, "float": weighing, "max": weighing, "min": weighing, "mean": weighing,
	"type": free, "first": free, "last": free, "take": free, "coalesce": free,
	"get": func(b *budget, args []any) error { return weighing(b, args[1:]) },
}

func free(*budget, []any) error { return nil }

// weighing is the cost of a function that goes through its arguments, and makes nothing of their size.
func weighing(b *budget, args []any) error {
	_, err := b.weighEach(args)
	return err
}

// calculating is the cost of arithmetic, which joins texts and the digits of exact numbers.
func calculating(b *budget, args []any) error {
	size, err := b.weighEach(args)
	if err != nil || size <= valueSize*len(args) {
		return err
	}
	return b.hold(size + 2*quotientScale)
}

// digitsCost is the cost of a function that makes a number of a text or a number.
func digitsCost(b *budget, args []any) error {
	if err := weighing(b, args); err != nil {
		return err
	}
	text := textAt(args, 0)
	digits := len(text)
	if number, floating := args[0].(float64); strings.ContainsAny(text, "eE") || floating && (math.Abs(number) > 1e18 || math.Abs(number) < 1e-18) {
		digits = maxDigits
	}
	return b.holdDigits(digits)
}

func sortCost(b *budget, args []any) error {
	size, err := b.weighEach(args)
	if err != nil {
		return err
	}
	comparisons := times(size/valueSize, bits.Len(uint(size)))
	if err := b.spend(comparisons / digitsAStep); err != nil {
		return err
	}
	return b.hold(comparisons)
}

func splitCost(b *budget, args []any) error {
	text, separator := textAt(args, 0), textAt(args, 1)
	if err := b.search(text, separator); err != nil {
		return err
	}
	pieces := strings.Count(text, separator) + 1
	if separator == "" {
		pieces = utf8.RuneCountInString(text)
	}
	return b.hold(times(pieces, valueSize))
}

func searchCost(b *budget, args []any) error { return b.search(textAt(args, 0), textAt(args, 1)) }

// search takes the steps of looking for a text in another. A long one may be compared at each place.
func (b *budget) search(text, part string) error {
	places := len(text)
	if len(part) > textsAStep {
		places = times(max(len(text)-len(part), 1), len(part)/textsAStep)
	}
	return b.spend(places / textsAStep)
}

// textAt is an argument, if there is one and it is a text.
func textAt(args []any, i int) string {
	if i >= len(args) {
		return ""
	}
	text, _ := args[i].(string)
	return text
}

// charge takes what a call costs.
func (b *budget) charge(name string, args []any) error {
	if cost := costs[name]; cost != nil {
		return cost(b, args)
	}
	size, err := b.weighEach(args)
	if err != nil || size <= valueSize*len(args) {
		return err
	}
	return b.hold(times(size, 2))
}

// match is the language's operator matches. It takes the steps of a pattern's each instruction at each
// character. A pattern that is none is an error whatever is matched.
func (b *budget) match(value, pattern any) (any, error) {
	if pattern == nil {
		return false, nil
	}
	var known *knownPattern
	switch pattern := pattern.(type) {
	case *knownPattern:
		known = pattern
	case string:
		if err := b.spend(len(pattern)); err != nil {
			return nil, err
		}
		var err error
		if known, err = compilePattern(pattern); err != nil {
			return nil, err
		}
		if err := b.spend(known.size); err != nil {
			return nil, err
		}
	default:
		return nil, reason("the pattern is not a text")
	}
	if value == nil {
		return false, nil
	}
	text, ok := value.(string)
	if bytes, isBytes := value.([]byte); isBytes {
		text, ok = string(bytes), true
	}
	if !ok {
		return nil, reason("it takes a text")
	}
	if err := b.spend(times(len(text), known.size) / patternsAStep); err != nil {
		return nil, err
	}
	return known.MatchString(text), nil
}

// knownPattern is a compiled regular expression and about how many instructions it has.
type knownPattern struct {
	*regexp.Regexp
	size int
}

// compilePattern compiles a regular expression, unless it is too large. The error is a [reason] or a [bound].
func compilePattern(pattern string) (*knownPattern, error) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, reason("the pattern is no regular expression")
	}
	size := patternSize(tree)
	if size > mostPattern {
		return nil, tooMighty
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, reason("the pattern is no regular expression")
	}
	return &knownPattern{compiled, size}, nil
}

func patternSize(tree *syntax.Regexp) int {
	size := 1 + len(tree.Rune)
	for _, part := range tree.Sub {
		size = min(size+patternSize(part), math.MaxInt32)
	}
	if tree.Op == syntax.OpRepeat {
		size = times(size, max(tree.Min, tree.Max, 1))
	}
	return size
}
