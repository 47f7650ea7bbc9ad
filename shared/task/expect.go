package task

import (
	"fmt"
	"math"
	"strconv"
)

// Expect bounds what a run may do: one that would go beyond ends Failed first. The zero Expect has no bounds.
type Expect struct {
	// MinRows is how many rows there are to write at least: those that pass where and mapping.
	MinRows int64
	// MaxDelete and MaxChange are how many rows of the destination a run may delete and update; nil for any
	// number.
	MaxDelete, MaxChange *Bound
}

// Bound is a number of rows, or a part of those that the destination has when the run begins.
type Bound struct {
	Rows int64
	// Percent is the part if it is above 0; then Rows means nothing.
	Percent float64
}

// Of is the number for a destination of so many rows.
func (b Bound) Of(size int64) int64 {
	if b.Percent == 0 {
		return b.Rows
	}
	return int64(math.Floor(float64(size)*b.Percent/100 + 1e-9))
}

func (b Bound) String() string {
	if b.Percent == 0 {
		return strconv.FormatInt(b.Rows, 10)
	}
	return fmt.Sprintf("%g%%", b.Percent)
}
