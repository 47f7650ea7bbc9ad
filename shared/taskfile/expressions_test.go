package taskfile

import (
	"fmt"
	"testing"
)

func TestExpressionsAreChecked(t *testing.T) {
	const sharingParameters = `{filter: CsContact1.ImisId}, {filter: CsContact2.ImisId}, {filter: CsContact.FirstName}, {name: Member Type, multiple: true}`
	uses := func(parameters, expression string) error {
		text := fmt.Sprintf("id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd\nname: x\nparameters: [%s]\nsource: {csv: {connection: c, path: p}}\n"+
			"where: %s\nmapping: {id: ID}\ndestination: {csv: {connection: c, path: q, action: replace}}\n", parameters, expression)
		_, err := Parse([]byte(text), "task.yaml")
		return err
	}
	for _, expression := range []string{
		`params["CsContact1.ImisId"] == ID`, `params.FirstName == Name`, `params["CsContact.FirstName"] == Name`, `Type in params["Member Type"]`,
	} {
		if err := uses(sharingParameters, expression); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
	}
	for _, expression := range []string{`params.ImisId == ID`, `params.LastName == Name`} {
		if err := uses(sharingParameters, expression); err == nil {
			t.Errorf("%s is accepted, and there is no such parameter", expression)
		}
	}
	// A parameter that is itself refused makes no expression wrong.
	err := uses("{name: LastName, default: {}}, {promt: x}", `params.LastName == ""`)
	if invalid, ok := err.(*Invalid); !ok || len(invalid.Problems) != 3 {
		t.Errorf("want the problems of the parameters alone, got:\n%v", err)
	}
}

func TestExpressionProblemsStandBesideTheirLine(t *testing.T) {
	text := and("where: ID ==")
	_, err := Parse([]byte(text), "task.yaml")
	invalid, ok := err.(*Invalid)
	if !ok || len(invalid.Problems) != 1 || invalid.Problems[0].Line != 12 {
		t.Fatalf("got %v", err)
	}
	want := "task.yaml:12: where: unexpected token EOF (1:5)\n     | ID ==\n     | ....^"
	if err.Error() != want {
		t.Errorf("got:\n%s\nwant:\n%s", err, want)
	}
}
