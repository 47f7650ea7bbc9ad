package taskfile_test

import (
	"fmt"
	"strings"

	"runhook/shared/taskfile"
)

const members = `id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd
name: Refresh lapsed members
source:
  csv: {connection: drop, path: members.csv}
mapping:
  id: ID
  full_name: FirstName + " " + LastName
destination:
  sql: {connection: warehouse, table: members, key: [id], action: upsert, create: true}
`

func ExampleParse_invalid() {
	broken := strings.NewReplacer("mapping", "maping", "action: upsert", "action: merge").Replace(members)
	_, err := taskfile.Parse([]byte(broken), "members.yaml")
	fmt.Println(err)
	// Output:
	// members.yaml:5: unknown field "maping"; did you mean "mapping"?
	// members.yaml:9: destination.sql.action must be insert, update, upsert or delete, not "merge"
}
