package taskfile

import (
	"regexp"
	"strings"
	"testing"

	"runhook/shared/task"
)

func TestNewFileIsATask(t *testing.T) {
	for _, name := range []string{"Refresh members", `"quoted"`, "yes", "007", "a: b # c", `back\slash`, "*", "Größe <1>", strings.Repeat("é", 200)} {
		id := task.NewID()
		def, err := Parse(NewFile(id, name), "new.yaml")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if def.ID != id || def.Name != name || len(def.Parameters) != 1 || def.Where == "" || len(def.Mapping) != 2 {
			t.Errorf("%s: got %+v", name, def)
		}
	}
}

func TestNewFileShowsEveryField(t *testing.T) {
	text := string(NewFile(task.NewID(), "x"))
	var check func(fields []field)
	check = func(fields []field) {
		for _, f := range fields {
			if f.later && f.kind == kindSection {
				continue // its name may be that of another section
			}
			shown := regexp.MustCompile(`(?m)^[ #-]*` + f.name + `:`).MatchString(text)
			if shown == f.later {
				t.Errorf("%s: shown is %v, to come is %v", f.name, shown, f.later)
			}
			if !f.later && f.meaning == "" {
				t.Errorf("%s has no meaning", f.name)
			}
			if f.kind == kindChoiceOrSection { // its example has them
				text += "\n" + strings.NewReplacer("{", "", ", ", "\n").Replace(f.example)
			}
			check(f.fields)
		}
	}
	check(taskFields)
}

func TestNewFileShowsFieldsThatCanBeUncommented(t *testing.T) {
	text := string(NewFile(task.NewID(), "x"))
	optional := regexp.MustCompile(`(?m)^( *)# ([a-z_]+: [^# ].*)$`)
	found := 0
	for _, match := range optional.FindAllStringSubmatchIndex(text, -1) {
		field := text[match[4]:match[5]]
		if strings.HasPrefix(field, "filter:") || strings.HasPrefix(field, "sheet:") {
			continue // takes the place of name; goes with a path of .xlsx
		}
		found++
		uncommented := text[:match[3]] + field + text[match[1]:]
		if _, err := Parse([]byte(uncommented), "new.yaml"); err != nil {
			t.Errorf("%s: %v", field, err)
		}
	}
	if found < 14 {
		t.Errorf("found only %d optional fields in:\n%s", found, text)
	}
}
