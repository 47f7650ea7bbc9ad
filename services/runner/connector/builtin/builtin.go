// Package builtin is the table of the kinds of source and destination that this program has.
package builtin

import (
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/csvfile"
	"runhook/services/runner/connector/httpjson"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/connector/subject"
	"runhook/services/runner/connector/xlsxfile"
	"runhook/shared/task"
)

// Kinds returns all of them.
func Kinds() connector.Kinds {
	return connector.Kinds{
		Sources: map[task.Kind]connector.SourceKind{
			task.CSV:  csvfile.SourceKind{Workbook: xlsxfile.Workbook},
			task.SQL:  sqldb.SourceKind{},
			task.HTTP: httpjson.SourceKind{},
			task.IMIS: imis.SourceKind{},
		},
		Destinations: map[task.Kind]connector.DestinationKind{
			task.CSV:  csvfile.DestinationKind{},
			task.SQL:  sqldb.DestinationKind{},
			task.HTTP: httpjson.DestinationKind{},
			task.NATS: subject.DestinationKind{},
			task.IMIS: imis.DestinationKind{},
		},
	}
}
