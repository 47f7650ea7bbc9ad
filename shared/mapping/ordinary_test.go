package mapping_test

import (
	"testing"

	"runhook/shared/mapping"
)

// BenchmarkOrdinary is each of the expressions of the page that a mapping has most often.
func BenchmarkOrdinary(b *testing.B) {
	for _, expression := range []string{
		`FirstName + " " + LastName`, `params.FirstName == "" || FirstName == params.FirstName`, `upper(LastName)`, `int(Age) + 1`, `split("Lee, Ann", ", ")[1]`, `replace(date, "-", "/")`, `LastName startsWith "L"`, `FirstName in ["A", "Ann"]`, `number("1234.50") * 3`, `formatDate(date(date, "yyyy-MM-dd"), "dd.MM.yyyy")`, `LastName matches "^L"`, `coalesce(Age, "none")`, `ID[2:]`, `len(ID)`,
		`any(params.States, # == "NV")`, `let x = split("Lee, Ann", ", "); x[1] + " " + x[0]`, `trim(LastName) + "!"`,
	} {
		b.Run(expression, func(b *testing.B) {
			scope := textScope()
			program, err := scope.Compile(expression)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				scope.Begin()
				if _, err := program.Eval(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUntyped is a comparison with a column of a database, of which no kind is known.
func BenchmarkUntyped(b *testing.B) {
	scope := mapping.NewScope(mapping.Columns{Names: []string{"st"}}, nil)
	program, err := scope.Compile(`st == "A"`)
	if err != nil {
		b.Fatal(err)
	}
	scope.Row[0] = "A"
	for b.Loop() {
		scope.Begin()
		if _, err := program.Eval(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
