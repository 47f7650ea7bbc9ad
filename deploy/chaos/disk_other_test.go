//go:build chaos && !linux

package chaos

import "errors"

const canFill = false

var errNotHere = errors.New("only Linux can do that")

func canMount(string) error { return errNotHere }

func mount(string, int64) error { return errNotHere }

func unmount(string) error { return errNotHere }

func limitFiles(int, uint64) error { return errNotHere }
