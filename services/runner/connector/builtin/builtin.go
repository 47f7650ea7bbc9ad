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
)

// Kinds returns all of them.
func Kinds() connector.Kinds {
	return connector.Kinds{
		Sources: map[string]connector.SourceKind{
			"csv":  csvfile.SourceKind{Workbook: xlsxfile.Workbook},
			"sql":  sqldb.SourceKind{},
			"http": httpjson.SourceKind{},
			"imis": imis.SourceKind{},
		},
		Destinations: map[string]connector.DestinationKind{
			"csv":  csvfile.DestinationKind{},
			"sql":  sqldb.DestinationKind{},
			"http": httpjson.DestinationKind{},
			"nats": subject.DestinationKind{},
			"imis": imis.DestinationKind{},
		},
	}
}
