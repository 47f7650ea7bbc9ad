package run

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"runhook/shared/task"
)

type encoder interface{ Encode() ([]byte, error) }

// encoders are what is encoded by hand, each with nothing set.
func encoders() []encoder {
	return []encoder{new(Document), new(Request), new(Claim)}
}

// filler sets values to what a fuzzer gives, or to what a test lists.
type filler struct {
	texts    []string
	integers []int64
	floats   []float64
	times    []time.Time
	// empty reports whether the next value stays zero, nil or of no length.
	empty func() bool
	// next counts what was taken from the lists.
	next int
}

func taken[T any](f *filler, list []T) T {
	f.next++
	return list[f.next%len(list)]
}

func (f *filler) fill(t testing.TB, v reflect.Value) {
	t.Helper()
	if f.empty() {
		return
	}
	switch v.Type() {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[Time]():
		v.Set(reflect.ValueOf(taken(f, f.times)).Convert(v.Type()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(taken(f, f.texts))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(taken(f, f.integers))
	case reflect.Uint64:
		v.SetUint(uint64(taken(f, f.integers)))
	case reflect.Float64:
		v.SetFloat(taken(f, f.floats))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			f.fill(t, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 3 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(t, key)
			f.fill(t, value)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(t, v.Field(i))
		}
	default:
		t.Fatalf("fill does not know how to make a %s: teach it, and the encoder", v.Type())
	}
}

// same holds an encoder to encoding/json, errors included.
func same(t testing.TB, value encoder) {
	t.Helper()
	got, gotErr := value.Encode() // first: it makes a document's Errors a list
	want, wantErr := json.Marshal(value)
	if (gotErr == nil) != (wantErr == nil) {
		t.Fatalf("%T: error %v, encoding/json %v", value, gotErr, wantErr)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%T is encoded as\n%s\nencoding/json writes\n%s", value, got, want)
	}
}

// Every member is written: one that is added to a type and not to its encoder fails here.
func TestEncodersWriteEveryMember(t *testing.T) {
	f := &filler{
		texts: []string{"a", "b", "c", "d", "e"}, integers: []int64{1, 2, 3}, floats: []float64{42.5},
		times: []time.Time{time.Date(2026, 11, 25, 19, 30, 1, 234_567_891, time.UTC)},
		empty: func() bool { return false },
	}
	for _, value := range encoders() {
		same(t, value) // with nothing set
		f.fill(t, reflect.ValueOf(value).Elem())
		same(t, value)
	}
}

var (
	oddTexts = []string{
		"", "plain", `a "quoted" \ one`, "<b>&amp;</b>", "Zoë Ångström 漢字 😀", "line\nbreak\ttab\r\b\f\x00\x1f\x7f",
		"\u2028\u2029", "cut \xff\xc3 off", "\xed\xa0\x80", "'", "/",
	}
	oddIntegers = []int64{0, 1, -1, 99, math.MaxInt64, math.MinInt64}
	oddFloats   = []float64{0, math.Copysign(0, -1), 100, 33.3, -1.5, 1e-6, 9.99e-7, 1e-9, 1e21, 9.99e20, math.MaxFloat64, 5e-324}
	oddTimes    = []time.Time{
		{},
		time.Unix(0, 0), time.Date(2026, 2, 28, 23, 59, 59, 999_999_999, time.FixedZone("", 5*3600+1800)),
		time.Date(2026, 12, 31, 0, 0, 0, 120_000_000, time.FixedZone("", -8*3600)), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC),
	}
)

// What is encoded is what encoding/json writes, whatever stands in it and whatever is left out.
func TestEncodersWriteAsEncodingJSON(t *testing.T) {
	for c := range 256 {
		same(t, &Document{Message: "a" + string([]byte{byte(c)}) + "b"})
	}
	random := rand.New(rand.NewPCG(1, 2))
	f := &filler{texts: oddTexts, integers: oddIntegers, floats: oddFloats, times: oddTimes}
	for i := range 2_000 {
		rarely := 1 + i%8
		f.empty = func() bool { return random.IntN(8) < rarely/2 }
		f.next = random.IntN(1_000)
		for _, value := range encoders() {
			f.fill(t, reflect.ValueOf(value).Elem())
			same(t, value)
		}
	}
}

// A document's times are UTC with three digits of milliseconds, cut and not rounded.
func TestTimesOfDocuments(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	times := oddTimes
	for range 1_000 {
		zone := time.FixedZone("", random.IntN(24*3600)-12*3600)
		times = append(times, time.Unix(random.Int64N(8e9)-4e9, random.Int64N(1e9)).In(zone))
	}
	for _, at := range times {
		want := at.UTC().Format(`"2006-01-02T15:04:05.000Z"`)
		if got, err := Time(at).MarshalJSON(); err != nil || string(got) != want {
			t.Errorf("%s is written as %s (%v), want %s", at, got, err, want)
		}
	}
}

// What has no JSON is refused with encoding/json's words, and named.
func TestEncodersRefuse(t *testing.T) {
	far := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, value := range []encoder{
		&Document{PercentComplete: math.NaN()}, &Claim{Checkpoint: Checkpoint{Percent: math.Inf(1)}},
		&Claim{StartedOn: far}, &Claim{Pause: &Pause{Until: far}}, &Request{CreatedOn: far},
	} {
		same(t, value)
		if data, err := value.Encode(); err == nil {
			t.Errorf("%T encoded as %s", value, data)
		}
	}
}

func FuzzEncode(f *testing.F) {
	for i, text := range oddTexts {
		f.Add(text, oddTexts[len(oddTexts)-1-i], oddIntegers[i%len(oddIntegers)], oddFloats[i%len(oddFloats)], int64(i)<<30, int64(i), uint64(i)*0x9e3779b97f4a7c15)
	}
	f.Fuzz(func(t *testing.T, text, other string, integer int64, float float64, seconds, nanos int64, empty uint64) {
		fill := &filler{
			texts: []string{text, other, text + other}, integers: []int64{integer, seconds, nanos},
			floats: []float64{float}, times: []time.Time{time.Unix(seconds, nanos), time.Unix(seconds, 0).UTC()},
		}
		random := rand.New(rand.NewPCG(empty, 0))
		fill.empty = func() bool { return random.IntN(4) == 0 }
		for _, value := range encoders() {
			fill.fill(t, reflect.ValueOf(value).Elem())
			same(t, value)
		}
	})
}

// Those of a run that does as little as possible.
func plainRun() (Request, Document, Claim) {
	created := time.Date(2026, 11, 25, 19, 30, 1, 234_567_891, time.UTC)
	request := Request{
		Task: "7c9e6679-7425-40de-944b-e07fc1f90ae7", TaskName: "Refresh members",
		Definition: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		Parameters: task.Values{
			"FirstName": {Values: []string{"Ann"}, From: task.FromRequest}, "LastName": {From: task.FromSource},
		},
		ParameterHash: "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
		Base:          "http://127.0.0.1:8080", Trigger: Webhook, RetryAfter: 30, CreatedOn: created,
	}
	doc := QueuedDocument(request, 12_345)
	doc.Begin(created, created, 1)
	doc.End(Success, "Done", created.Add(time.Second))
	return request, doc, Claim{Owner: "host-7c9e6679-7425-40de-944b", Executions: 1, StartedOn: created}
}

func benchmarkEncoders(b *testing.B, encode func(value encoder) ([]byte, error)) {
	request, doc, claim := plainRun()
	for name, value := range map[string]encoder{"Document": &doc, "Request": &request, "Claim": &claim} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := encode(value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) { benchmarkEncoders(b, encoder.Encode) }

// BenchmarkMarshal is what the same costs with encoding/json.
func BenchmarkMarshal(b *testing.B) {
	benchmarkEncoders(b, func(value encoder) ([]byte, error) { return json.Marshal(value) })
}
