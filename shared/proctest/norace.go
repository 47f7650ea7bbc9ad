//go:build !race

package proctest

// Raced: the tests run under the race detector, which makes them slow and large.
const Raced = false
