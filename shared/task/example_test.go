package task_test

import (
	"fmt"

	"runhook/shared/task"
	"runhook/shared/taskfile"
)

const members = `id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd
name: Refresh lapsed members
parameters:
  - filter: CsContact.FirstName
    default: Ann
source:
  csv: {connection: drop, path: members.csv}
mapping:
  id: ID
  full_name: FirstName + " " + LastName
destination:
  sql: {connection: warehouse, table: members, key: [id], action: upsert, create: true}
`

func Example() {
	def, err := taskfile.Parse([]byte(members), "members.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", def.Template())

	given := []task.Given{{Key: "firstname", GivenValue: task.GivenValue{Kind: task.GivenString, Text: "Eve"}}}
	values, err := def.Resolve(given)
	fmt.Println(values["FirstName"].Values, values["FirstName"].From, err)

	values, err = def.Resolve(nil)
	fmt.Println(values["FirstName"].Values, values["FirstName"].From, err)
	// Output:
	// {"QueryParameters":{"FirstName":""}}
	// [Eve] request <nil>
	// [Ann] task <nil>
}
