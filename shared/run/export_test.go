package run

// SetUnpackedMost changes to how much a chunk may unpack, until restore.
func SetUnpackedMost(most int64) (restore func()) {
	before := unpackedMost
	unpackedMost = most
	return func() { unpackedMost = before }
}
