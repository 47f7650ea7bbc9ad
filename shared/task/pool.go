package task

import (
	"fmt"
	"regexp"
)

// DefaultPool is the pool of the tasks and the runners that name none.
const DefaultPool = "default"

var pool = regexp.MustCompile(`^[A-Za-z0-9_-]{1,50}$`)

// CheckPool says what is wrong with the name of a pool of runners, nil for nothing.
func CheckPool(name string) error {
	if !pool.MatchString(name) {
		return fmt.Errorf("%q is not the name of a pool: 1 to 50 letters, digits, - or _, like onprem", name)
	}
	return nil
}
