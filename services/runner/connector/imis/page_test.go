package imis

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"runhook/services/runner/row"
)

// fullPage is a page of 500 rows as iMIS writes them.
func fullPage() string {
	var text strings.Builder
	text.WriteString(`{"$type":"Asi.Soa.Core.DataContracts.PagedResult, Asi.Contracts","Items":{"$type":"X","$values":[`)
	for i := range 500 {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"$type":"System.Dynamic.ExpandoObject, System.Core","ID":%d,"First Name":"Ann","Last Name":"Smith-%d","Email":"person%d@example.org",`+
			`"City":"Springfield","Dues":%d.50,"Joined":"2026-01-31T00:00:00","Company":null,"Excluded":false}`, i+100000, i, i, i)
	}
	text.WriteString(`]},"Offset":0,"Limit":500,"Count":500,"TotalCount":200000,"NextPageLink":null,"HasNext":true,"NextOffset":500}`)
	return text.String()
}

func BenchmarkDecode(b *testing.B) {
	text := fullPage()
	b.Run("page", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		body := []byte(text)
		p := &page{}
		for b.Loop() {
			// As a source does: check, keep as text, read.
			if row.Exceeds(body, maxValues) || !json.Valid(body) {
				b.Fatal("not valid")
			}
			if err := p.decode(context.Background(), string(body)); err != nil || len(p.sizes) != 500 {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		body := []byte(text)
		for b.Loop() {
			var bare struct {
				Items struct {
					Values []map[string]any `json:"$values"`
				}
			}
			decoder := json.NewDecoder(bytes.NewReader(body))
			decoder.UseNumber()
			if err := decoder.Decode(&bare); err != nil || len(bare.Items.Values) != 500 {
				b.Fatal(err)
			}
		}
	})
}

// Whatever the JSON: no panic, and a flat row's cells are what encoding/json makes of them.
func FuzzDecode(f *testing.F) {
	f.Add(fullPage()[:600])
	for _, row := range []string{
		`{"a":1,"b":"\u00e9\"\\","c":[{},{"$value":1}],"d":null}`, ` { "a" : -0.5e+3 , "b" : true } `, `{}`, `{"":""}`, `{"a":"\\\"","$type":"x"}`,
		`{"$type":"GenericEntityData","Properties":{"$values":[{"Name":"a","Value":{"$value":1}},{"Value":2,"Name":"b"},{"Name":"c"}]}}`,
	} {
		f.Add(`{"Items":{"$values":[` + row + `,` + row + `]},"HasNext":true,"Offset":"x","NextOffset":500}`)
		f.Add(`{"Items":[` + row + `]}`)
	}
	f.Add(`{"Items":null,"Items":{"$values":null},"TotalCount":1e400}`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		text = strings.ToValidUTF8(text, "\uFFFD") // as of every answer
		p := &page{}
		err := p.decode(context.Background(), text)
		if err != nil || p.columns == nil {
			return
		}
		if len(p.cells) != len(p.sizes)*len(p.columns.names) {
			t.Fatalf("%d cells in %d rows of %d columns", len(p.cells), len(p.sizes), len(p.columns.names))
		}
		again := &page{columns: p.columns}
		if err := again.decode(context.Background(), text); err != nil || !reflect.DeepEqual(again.cells, p.cells) {
			t.Fatalf("read again: %v", err)
		}
		if strings.Contains(text, "$") || strings.Contains(text, `\`) {
			return
		}
		var bare struct{ Items []map[string]any }
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if decoder.Decode(&bare) != nil || len(bare.Items) != len(p.sizes) {
			return // such as two members whose names differ in letter case only
		}
		for i, row := range bare.Items {
			for c, name := range p.columns.names {
				want, _ := json.Marshal(row[name])
				got, _ := json.Marshal(p.cells[i*len(p.columns.names)+c])
				// A whole number loses nothing but the sign of -0.
				if !bytes.Equal(got, want) && !bytes.Contains(want, []byte("-0")) {
					t.Fatalf("row %d, %q: got %s, want %s", i, name, got, want)
				}
			}
		}
	})
}
