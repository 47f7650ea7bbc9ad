package csvfile

import (
	"path/filepath"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/shared/task"
)

// Check looks at the file of a destination and its folder, and reports what would keep rows out. It
// makes nothing. columns are the mapping's.
func Check(connections *connection.Set, to *task.CSVDestination, columns []string, found *check.Report) {
	d, err := locate(connections, to, columns)
	if err != nil {
		found.Fail(check.At("destination", "csv", "connection"), err)
		return
	}
	defer d.Close()
	at := check.At("destination", "csv", "path")
	if err := d.try(); err != nil {
		found.Fail(at, err)
		return
	}
	folder := filepath.Join(d.root.Name(), filepath.Dir(d.path))
	// A file that is there is appended to as it is; any other is made in its folder.
	_, missing := d.root.Stat(d.path)
	if (!d.appends || missing != nil) && !check.Writable(folder) {
		found.Errorf(at, "the folder of %s may not be written by this user; correct its permissions", d.place)
	}
}
