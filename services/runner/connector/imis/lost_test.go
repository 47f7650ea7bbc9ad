package imis_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/services/runner/row"
	"runhook/shared/proctest"
	"runhook/shared/task"
)

// What was certainly not carried out is tried again, for every action; what may have been is for what may
// be done twice.
func TestWritesArePassedOn(t *testing.T) {
	imis.ShortenPauses(t)
	for name, c := range map[string]struct {
		faults []imissite.Fault
		// undone: no site carries out what it answers so.
		undone bool
	}{
		"throttled":               {sitetest.Times(3, sitetest.Throttle("")), true},
		"told when to come back":  {[]imissite.Fault{sitetest.Throttle("0")}, true},
		"busy":                    {sitetest.Times(7, sitetest.Status(503)), true},
		"a token no longer taken": {[]imissite.Fault{sitetest.Status(401)}, true},
		"a token that ends":       {nil, true},
		"a 500 or two":            {sitetest.Times(3, sitetest.Status(500)), false},
		"a gateway away":          {sitetest.Times(7, sitetest.Status(502)), false},
		"dropped":                 {sitetest.Times(3, sitetest.Drop), false},
		"dropped, and stored":     {sitetest.Times(3, sitetest.AfterStoring(sitetest.Drop)), false},
		"cut short":               {sitetest.Times(3, sitetest.AfterStoring(sitetest.CutShort)), false},
	} {
		for _, action := range []task.Action{task.Insert, task.Update, task.Upsert, task.Delete} {
			if action == task.Insert && !c.undone {
				continue
			}
			t.Run(name+" "+string(action), func(t *testing.T) {
				p := newPanels(t, "My_Profile", action, "ID", "Motto")
				want := "inserted"
				if action != task.Insert {
					p.to.Key = []string{"ID"}
					p.site.SetRows("My_Profile", imissite.Row{"ID": "101", "Motto": "old"})
					want = "updated"
				}
				faults := c.faults
				if faults == nil {
					faults = []imissite.Fault{p.site.Expire}
				}
				p.site.FailWrites(faults...)
				if action == task.Delete {
					want = "deleted"
					p.expect([][]any{{"101", "new"}}, want)
					p.stored()
					return
				}
				p.expect([][]any{{"101", "new"}}, want)
				p.stored(imissite.Row{"ID": "101", "Motto": "new"})
			})
		}
	}
}

// An insert whose answer is lost is looked for, where it can be, and sent again only where it is not there.
func TestLostInserts(t *testing.T) {
	imis.ShortenPauses(t)
	lost := map[string]imissite.Fault{"dropped": sitetest.Drop, "cut short": sitetest.CutShort, "500": sitetest.Status(500), "502": sitetest.Status(502), "no JSON": sitetest.Answer("text/plain", "x")}
	for name, fault := range lost {
		for _, stored := range []bool{true, false} {
			for _, action := range []task.Action{task.Insert, task.Upsert} {
				for times := 1; times <= 2; times++ {
					p := newPanels(t, "My_Certificates", action, "ID", "Code")
					p.to.Match = []string{"ID", "Code"}
					meets := fault
					if stored {
						meets = sitetest.AfterStoring(fault)
					}
					p.site.FailWrites(append(sitetest.Times(times, meets), nil, nil, nil)...)
					p.expect([][]any{{"101", "A"}}, "inserted")
					posts := 1
					if !stored {
						posts += times
					}
					if got := p.count(http.MethodPost); got != posts || len(p.site.Rows("My_Certificates")) != 1 {
						t.Errorf("%s, stored %v, %s: %d POSTs for %d; stored %v", name, stored, action, got, posts, p.site.Rows("My_Certificates"))
					}
				}
			}
		}
	}
}

// An insert whose answer is lost each time, and that is never there, is sent so often and no more.
func TestInsertThatIsLostEachTime(t *testing.T) {
	imis.ShortenPauses(t)
	p := newPanels(t, "My_Certificates", task.Insert, "ID", "Code")
	p.to.Match = []string{"ID", "Code"}
	p.site.FailWrites(sitetest.Times(20, sitetest.Drop)...)
	p.expect([][]any{{"101", "A"}}, "outcome unknown, because the site does not answer: the connection breaks off; look for the record before you send the row again")
	if got := p.count(http.MethodPost); got != 3 {
		t.Errorf("%d POSTs", got)
	}
}

// Without a way to look for it, a lost insert is not sent again: its row fails and says so.
func TestLostInsertThatCannotBeLookedFor(t *testing.T) {
	imis.ShortenPauses(t)
	for fault, says := range map[string]string{
		"dropped": "outcome unknown, because the site does not answer: the connection breaks off; look for the record before you send the row again",
		"500":     "outcome unknown, because the site answers with status 500; look for the record before you send the row again",
		"late":    "outcome unknown, because the site does not answer in time; look for the record before you send the row again",
	} {
		imis.ShortenPatience(t, 300*time.Millisecond, time.Second)
		p := newPanels(t, "My_Certificates", task.Insert, "ID", "Code")
		p.site.FailWrites(sitetest.AfterStoring(map[string]imissite.Fault{"dropped": sitetest.Drop, "500": sitetest.Status(500), "late": sitetest.Stall}[fault]))
		p.expect([][]any{{"101", "A"}, {"102", "B"}}, says, "inserted")
		if got := p.count(http.MethodPost); got != 2 || len(p.site.Rows("My_Certificates")) != 2 {
			t.Errorf("%d POSTs; stored %v", got, p.site.Rows("My_Certificates"))
		}
	}
}

// A key is as good as a match once the site was seen to keep it.
func TestLostInsertByKey(t *testing.T) {
	imis.ShortenPauses(t)
	after := sitetest.AfterStoring(sitetest.Drop)
	for _, action := range []task.Action{task.Insert, task.Upsert} {
		p := newPanels(t, "My_Profile", action, "ID", "Motto")
		p.to.Key = []string{"ID"}
		p.site.FailWrites(after, nil, after, sitetest.Drop)
		doubt := "outcome unknown, because the site does not answer: the connection breaks off; look for the record before you send the row again"
		p.expect([][]any{{"101", "a"}, {"102", "b"}, {"103", "c"}, {"104", "d"}}, doubt, "inserted", "inserted", "inserted")
		if got := p.count(http.MethodPost); got != 5 || len(p.site.Rows("My_Profile")) != 4 {
			t.Errorf("%d POSTs; stored %v", got, p.site.Rows("My_Profile"))
		}
	}
	// One that was only late is the row's all the same.
	late := newPanels(t, "My_Profile", task.Insert, "ID", "Motto")
	late.to.Key = []string{"ID"}
	late.site.FailWrites(nil, sitetest.Drop, sitetest.AfterStoring(sitetest.Status(409)))
	late.expect([][]any{{"101", "a"}, {"102", "b"}}, "inserted", "inserted")
	// Another's record is not taken for the row's.
	p := newPanels(t, "My_Profile", task.Insert, "ID", "Motto")
	p.to.Key = []string{"ID"}
	p.site.SetRows("My_Profile", imissite.Row{"ID": "102", "Motto": "theirs"})
	p.site.FailWrites(nil, sitetest.Drop)
	p.expect([][]any{{"101", "a"}, {"102", "b"}}, "inserted", "ID is there already (a duplicate key)")
}

// A duplicate is a duplicate: after an answer that was lost, too, another's record is not the row's.
func TestDuplicates(t *testing.T) {
	imis.ShortenPauses(t)
	p := newPanels(t, "My_Profile", task.Insert, "ID", "Motto")
	p.to.Match = []string{"Motto"}
	p.site.FailWrites(func(w http.ResponseWriter, r *http.Request) {
		p.site.SetRows("My_Profile", imissite.Row{"ID": "101", "Motto": "theirs"})
		sitetest.Drop(w, r)
	})
	p.expect([][]any{{"101", "a"}}, "is there already (a duplicate key)")
	p.stored(imissite.Row{"ID": "101", "Motto": "theirs"})
	p = newPanels(t, "My_Profile", task.Upsert, "ID", "Motto")
	p.to.Key, p.dry = []string{"ID"}, true
	p.site.Fail(nil, nil, nil, sitetest.Status(409)) // behind the entity, the probe and the look
	p.expect([][]any{{"101", "a"}, {"102", "b"}}, "ID is there already (a duplicate key)", "inserted")
}

// A site that gives a record a key of its own is found out with the first, before there are more.
func TestKeyThatTheSiteDoesNotKeep(t *testing.T) {
	p := newPanels(t, "My_Numbers", task.Upsert, "Number", "Name")
	p.to.Key = []string{"Number"}
	p.site.SetEntities(imissite.Entity{Name: "My_Numbers", ObjectType: "Standard", Parent: "Standalone", Properties: []imissite.Property{
		{Name: "Number", Type: "Integer", Identity: true}, {Name: "Name", Type: "String"},
	}})
	number := strings.NewReplacer(`"$value":7}`, `"$value":1}`, `"$value":8}`, `"$value":2}`)
	p.behind(func(r *http.Request) { replaceBody(r, number.Replace) })
	written, err := p.write([]any{"7", "a"}, []any{"8", "b"})
	if err == nil || !strings.Contains(err.Error(), "the entity My_Numbers of connection prod (row 1) took a record, and does not have it under the key that it came with (Number): the site gives one of its own. Take match instead of key") {
		t.Errorf("got %v", err)
	}
	if len(written) != 1 || written[0].Outcome != row.Inserted || len(p.site.Rows("My_Numbers")) != 1 {
		t.Errorf("written %v, stored %v", written, p.site.Rows("My_Numbers"))
	}
}

// Where a look for a lost insert fails too, the run ends and says what may be there.
func TestLookForALostInsertFails(t *testing.T) {
	imis.ShortenPauses(t)
	p := newPanels(t, "My_Certificates", task.Upsert, "ID", "Code")
	p.to.Match = []string{"ID", "Code"}
	p.site.FailWrites(func(w http.ResponseWriter, r *http.Request) {
		p.site.Fail(sitetest.Redirect("/login"))
		sitetest.Drop(w, r)
	})
	p.fail([][]any{{"101", "A"}}, "(row 1) is answered by a redirect to a page to sign in", "the row may have been inserted all the same")
}

// A site that goes out of order ends the run, and not row after row.
func TestTooManyDoubtfulRows(t *testing.T) {
	imis.ShortenPauses(t)
	rows := [][]any{{"101", "A"}, {"102", "A"}, {"103", "A"}, {"104", "A"}, {"105", "A"}, {"106", "A"}, {"107", "A"}}
	p := newPanels(t, "My_Certificates", task.Insert, "ID", "Code")
	p.site.FailWrites(append(sitetest.Times(4, sitetest.Drop), nil)...)
	p.site.FailWrites(sitetest.Times(2, sitetest.Drop)...)
	if written, err := p.write(rows...); err != nil || len(written) != 7 {
		t.Errorf("%d rows, %v", len(written), err)
	}
	p.site.FailWrites(sitetest.Times(7, sitetest.Drop)...)
	p.fail(rows, "the last 5 rows ended without an answer that says what became of them; the site may be out of order")
}

// A change that is under way when its run ends is still let come to its answer, for a moment.
func TestCancelDuringAChange(t *testing.T) {
	for _, slow := range []time.Duration{50 * time.Millisecond, time.Hour} {
		imis.ShortenPatience(t, time.Hour, 300*time.Millisecond)
		p := newPanels(t, "My_Certificates", task.Insert, "ID", "Code")
		ctx, cancel := context.WithCancel(t.Context())
		p.site.FailWrites(func(w http.ResponseWriter, r *http.Request) {
			cancel()
			sitetest.Slow(slow)(w, r)
		})
		d, err := p.open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		batch := row.NewBatch(2)
		copy(batch.Add(1).Values, []any{"101", "A"})
		began := time.Now()
		err = d.Write(ctx, batch, func(int64) error { return nil })
		d.Close()
		if took := time.Since(began); took > proctest.Limit {
			t.Errorf("it took %s", took)
		}
		if slow < time.Second && (err != nil || batch.Reached()[0].Outcome != row.Inserted) {
			t.Errorf("got %v", err)
		}
		if slow > time.Second && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

// The claim is looked at before anything is written, and a run that is another's writes nothing.
func TestNothingIsWrittenWithoutLeave(t *testing.T) {
	p := newPanels(t, "My_Certificates", task.Insert, "ID", "Code")
	d, err := p.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	batch := row.NewBatch(2)
	copy(batch.Add(1).Values, []any{"101", "A"})
	no := errors.New("no")
	if err := d.Write(t.Context(), batch, func(last int64) error { return no }); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if slices.Contains(p.requests(), "POST /api/my_certificates") {
		t.Error("it was written")
	}
}

// Where it is signing in that fails, nothing can have been inserted.
func TestSigningInFailsBeforeAnInsert(t *testing.T) {
	imis.ShortenPauses(t)
	var dropped atomic.Int32
	p := newPanels(t, "My_Certificates", task.Insert, "ID", "Code")
	p.behind(func(r *http.Request) {
		if r.URL.Path == "/token" && p.count(http.MethodPost) == 2 {
			if dropped.Add(1) <= 2 {
				panic(http.ErrAbortHandler)
			}
		}
	})
	p.site.FailWrites(nil, p.site.Expire)
	p.expect([][]any{{"101", "A"}, {"102", "B"}}, "inserted", "inserted")
	if dropped.Load() != 3 {
		t.Errorf("%d logins", dropped.Load())
	}
}
