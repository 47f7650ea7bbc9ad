package jet

import (
	"encoding/json"
	"reflect"
	"testing"
)

// acks are answers as the server writes them, and some that only look so; plain says which are read
// without encoding/json.
var acks = []struct {
	answer string
	plain  bool
	want   pubAck
}{
	{`{"stream":"RUNS","seq":7}`, true, pubAck{Stream: "RUNS", Sequence: 7}},
	{`{"stream":"KV_runs_0","seq":9999999999999999999}`, true, pubAck{Stream: "KV_runs_0", Sequence: 9999999999999999999}},
	{`{"stream":"RUNS","domain":"hub","seq":1200}`, true, pubAck{Stream: "RUNS", Sequence: 1200}},
	{`{"stream":"RUNS","seq":7,"duplicate": true}`, true, pubAck{Stream: "RUNS", Sequence: 7, Duplicate: true}},
	{`{"stream":"RUNS","domain":"hub","seq":7,"duplicate": true}`, true, pubAck{Stream: "RUNS", Sequence: 7, Duplicate: true}},
	{`{"stream":"RUNS", "seq":7}`, false, pubAck{Stream: "RUNS", Sequence: 7}},
	{`{"stream":"RUNS","seq":18446744073709551615}`, false, pubAck{Stream: "RUNS", Sequence: 18446744073709551615}},
	{`{"stream":"R\u0041","seq":7}`, false, pubAck{Stream: "RA", Sequence: 7}},
	{`{"stream":"RUNS","seq":0}`, false, pubAck{Stream: "RUNS"}},
	{`{"stream":"RUNS","seq":7,"duplicate":true}`, false, pubAck{Stream: "RUNS", Sequence: 7, Duplicate: true}},
	{`{"stream":"RUNS","seq":7,"batch":"a1","count":12}`, false, pubAck{Stream: "RUNS", Sequence: 7, Batch: "a1", Count: 12}},
	{`{"stream":"RUNS","seq":7} `, false, pubAck{Stream: "RUNS", Sequence: 7}},
	{`{"seq":7,"stream":"RUNS"}`, false, pubAck{Stream: "RUNS", Sequence: 7}},
}

func TestAcknowledgementsAreRead(t *testing.T) {
	t.Parallel()
	for _, c := range acks {
		got, err := readAck([]byte(c.answer))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s is read as %+v, %v", c.answer, got, err)
		}
		if _, plain := plainAck([]byte(c.answer)); plain != c.plain {
			t.Errorf("%s is read by the template: %t", c.answer, plain)
		}
	}
	refused, err := readAck([]byte(`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"KV_runs_0","seq":0}`))
	if err != nil || refused.Error == nil || refused.Error.ErrorCode != 10071 {
		t.Errorf("a refusal is read as %+v, %v", refused, err)
	}
	for _, broken := range []string{``, `{`, `+OK`, `{"stream":"RUNS","seq":}`, `{"stream":"RUNS","seq":7`, `{"stream":"RUNS","seq":07}`, `{"stream":"RUNS","seq":-7}`} {
		if got, err := readAck([]byte(broken)); err == nil {
			t.Errorf("%q is read as %+v", broken, got)
		}
	}
}

func FuzzPlainAck(f *testing.F) {
	for _, c := range acks {
		f.Add([]byte(c.answer))
	}
	f.Add([]byte(`{"stream":"a` + "\x7f" + `","seq":01}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, ok := plainAck(data)
		if !ok {
			return
		}
		var want pubAck
		if err := json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(plain, want) {
			t.Errorf("%q is read as %+v, by encoding/json as %+v, %v", data, plain, want, err)
		}
	})
}
