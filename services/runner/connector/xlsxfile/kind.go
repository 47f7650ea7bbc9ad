package xlsxfile

import (
	"context"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/shared/task"
)

var (
	_ connector.Source   = (*Source)(nil)
	_ connector.Recorder = (*Source)(nil)
	_ connector.Lined    = (*Source)(nil)
	_ connector.Warner   = (*Source)(nil)
)

// Workbook is Open for the kind of source that reads files.
func Workbook(ctx context.Context, connections *connection.Set, from *task.CSVSource) (connector.Source, error) {
	return Open(ctx, connections, from)
}
