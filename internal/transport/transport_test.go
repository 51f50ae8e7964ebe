package transport_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

func TestEveryKindHasAnAnswerAndAWord(t *testing.T) {
	words := transport.NewWords(nil)
	for k := fault.Internal; k <= fault.Unknown; k++ {
		if transport.Status(k) < 400 || transport.GRPC(k) == "" {
			t.Errorf("%v has no answer", k)
		}
		w, ok := words.Find(k.Code())
		if !ok || w.Title == "" || w.Advice == "" || w.Status != transport.Status(k) {
			t.Errorf("%v: the word of %s is %+v", k, k.Code(), w)
		}
	}
	for _, code := range spec.Codes() {
		if _, ok := words.Find(code); !ok {
			t.Errorf("the code %s has no word", code)
		}
	}
}

// read returns a problem as JSON.
func read(t *testing.T, p transport.Problem) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(p.Append(nil), &out); err != nil {
		t.Fatalf("%v: %s", err, p.Append(nil))
	}
	return out
}

func TestProblemsSayWhatTheAppSays(t *testing.T) {
	words := transport.NewWords(&spec.Spec{Errors: []*spec.Refusal{
		{Code: "insufficient_funds", Say: "Your wallet balance is too low."},
		{Code: "card_declined", Say: "The card was declined.", Status: 402},
		{Code: "not_found", Say: "Nothing of that kind."},
	}})
	f := fault.WithCode(fault.Refused, "insufficient_funds", "Your wallet balance is too low.")
	f.Data = []fault.Param{{Name: "needed", Value: int64(1990)}, {Name: "a\"b", Value: "x\n"}}
	p := read(t, words.Problem(f, "01k9vq3m8d"))
	if p["type"] != "/problems/insufficient_funds" ||
		p["title"] != "Your wallet balance is too low." ||
		p["status"] != 409. || p["request"] != "01k9vq3m8d" || p["detail"] != nil ||
		p["data"].(map[string]any)["needed"] != 1990. {
		t.Errorf("got %v", p)
	}
	if p := read(t, words.Problem(fault.WithCode(fault.Refused, "card_declined", ""),
		"x")); p["status"] != 402. {
		t.Errorf("a status of its own became %v", p)
	}
	if p := read(t, words.Problem(fault.WithCode(fault.Refused, "not_found", ""),
		"x")); p["status"] != 404. ||
		p["title"] != "Nothing of that kind." {
		t.Errorf("a refusal with our code became %v", p)
	}
	if p := read(t, words.Problem(fmt.Errorf("sql: SELECT secret"), "x")); p["status"] != 500. ||
		strings.Contains(fmt.Sprint(p), "secret") {
		t.Errorf("a mistake of ours became %v", p)
	}
	f = &fault.Fault{Kind: fault.Invalid, Message: "The input is not valid.", Items: []fault.Item{
		{Pointer: "#/items/0/quantity", Code: "min", Detail: "must be at least 1",
			Params: []fault.Param{{Name: "min", Value: int64(1)}}}}}
	f.At.Request = 4
	p = read(t, words.Problem(f, "x"))
	item := p["errors"].([]any)[0].(map[string]any)
	if item["pointer"] != "#/items/0/quantity" || item["params"].(map[string]any)["min"] != 1. ||
		p["at"].(map[string]any)["request"] != 3. {
		t.Errorf("got %v", p)
	}
	f = fault.WithCode(fault.Malformed, "invalid_filter", "no field")
	f.At = fault.Place{Parameter: "filter", Column: 1}
	if at := read(t, words.Problem(f, "x"))["at"].(map[string]any); at["parameter"] != "filter" ||
		at["column"] != 1. {
		t.Errorf("got %v", at)
	}
}

func TestExpandedRecordsStandBesideTheirIds(t *testing.T) {
	shape := value.NewShape("orders", []value.Field{{Name: "id"}, {Name: "customer"},
		{Name: "hidden"}})
	rec := func(id, customer string) value.Record {
		return value.Record{Shape: shape, Slots: []value.Value{value.OfText(id),
			value.OfText(customer), {}}}
	}
	x := engine.Item{Record: rec("o1", "u1"), Expand: []engine.Expansion{
		{Name: "customer", Items: []engine.Item{{Record: rec("u1", "x")}}},
		{Name: "unseen"},
		{Name: "items", Many: true},
	}}
	want := `{"id":"o1","customer":"u1","expand":{"customer":{"id":"u1","customer":"x"},"items":[]}}`
	if got := string(transport.AppendItem(nil, &x)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestWhatAListOfObjectsPointsToStandsInAListBesideIt(t *testing.T) {
	shape := value.NewShape("products", []value.Field{{Name: "name", Type: value.Type{Kind: value.TypeString}}})
	pen := engine.Item{Record: value.Record{Shape: shape, Slots: []value.Value{value.OfText("pen")}}}
	x := pen
	x.Expand = []engine.Expansion{{Name: "items", Many: true, Items: []engine.Item{
		{Expand: []engine.Expansion{{Name: "product", Items: []engine.Item{pen}}}},
		{Expand: []engine.Expansion{{Name: "product"}}},
	}}}
	want := `{"name":"pen","expand":{"items":[{"product":{"name":"pen"}},{}]}}`
	if got := string(transport.AppendItem(nil, &x)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestRepliesOfABatchStandInOrder(t *testing.T) {
	shape := value.NewShape("notes", []value.Field{{Name: "id"}})
	item := engine.Item{Record: value.Record{Shape: shape,
		Slots: []value.Value{value.OfText("n1")}}}
	r := engine.Reply{Verb: engine.Batch, Batch: []engine.Reply{
		{Verb: engine.Create, Item: item}, {Verb: engine.Delete}, {Verb: engine.Action},
		{Verb: engine.Action, Output: value.OfInt(3)}}}
	want := `{"responses":[{"status":201,"body":{"id":"n1"}},{"status":204},{"status":204},{"status":200,"body":3}]}`
	if got := string(transport.AppendReply(nil, &r)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestBatchesAreRead(t *testing.T) {
	calls, err := transport.ParseBatch([]byte(`{"requests":[
		{"method":"POST","path":"/api/orders","body":{"a":[1,{"b":null}]}},
		{"method":"PATCH","path":"/api/orders/o1","body":{},"if_match":7},
		{"method":"PATCH","path":"/api/orders/o1","body":{},"if_match":"\"8\""},
		{"method":"DELETE","path":"/api/orders/o1"},
		{"method":"POST","path":"/api/actions/checkout","body":{}}]}`))
	if err != nil || len(calls) != 5 {
		t.Fatalf("%d calls, %v", len(calls), err)
	}
	if calls[0].Verb != engine.Create || calls[0].Target != "orders" ||
		string(calls[0].Body) != `{"a":[1,{"b":null}]}` ||
		calls[1].Verb != engine.Update || calls[1].Record != "o1" || calls[1].IfMatch != 7 ||
		calls[2].IfMatch != 8 || calls[3].Verb != engine.Delete || calls[3].Body != nil ||
		calls[4].Verb != engine.Action || calls[4].Target != "checkout" {
		t.Errorf("got %+v", calls)
	}
	one := func(request string) string { return `{"requests":[` + request + `]}` }
	del := `{"method":"DELETE","path":"/api/orders/o1"}`
	for _, bad := range []string{
		``, `{`, `[]`, `{}`, `null`, `{"requests":[]}`, `{"requests":{}}`, `{"requests":null}`,
		one(`1`), one(`{}`),
		one(`{"method":"GET","path":"/api/orders"}`),
		one(`{"method":"POST","path":"/api/batch","body":{}}`),
		one(`{"method":"POST","path":"/api/auth/sign-in","body":{}}`),
		one(`{"method":"POST","path":"/api/orders"}`),
		one(`{"method":"PATCH","path":"/api/orders/o1"}`),
		one(`{"method":"DELETE","path":"/api/orders/o1","body":{}}`),
		one(`{"method":"POST","path":"orders","body":{}}`),
		one(`{"method":"POST","path":"/api/orders?x=1","body":{}}`),
		one(`{"method":"post","path":"/api/orders","body":{}}`),
		one(`{"method":1,"path":"/api/orders"}`),
		one(`{"method":"POST","path":"/api//orders","body":{}}`),
		one(`{"method":"POST","path":"/api/%6frders","body":{}}`),
		one(`{"method":"DELETE","path":"/api/orders/o1","if_match":0}`),
		one(`{"method":"DELETE","path":"/api/orders/o1","if_match":-1}`),
		one(`{"method":"DELETE","path":"/api/orders/o1","if_match":1.5}`),
		one(`{"method":"DELETE","path":"/api/orders/o1","if_match":1e400}`),
		one(`{"method":"POST","path":"/api/orders","body":{},"if_match":7}`),
		one(`{"methd":"DELETE","path":"/api/orders/o1"}`),
		one(`{"method":"DELETE","method":"POST","path":"/api/orders/o1"}`), one(del) + `x`,
		one(del) + `{}`,
		`{"requests":[` + del + `],"requests":[` + del + `]}`, one(strings.Repeat(del+",", 50) +
			del),
		one("{\"method\":\"DELETE\",\"path\":\"/api/orders/\xff\"}"), strings.Repeat("[", 100000),
	} {
		if calls, err := transport.ParseBatch([]byte(bad)); err == nil {
			t.Errorf("%.60s is taken as %+v", bad, calls)
		}
	}
	_, err = transport.ParseBatch([]byte(one(del + `,{"method":"GET","path":"/api/x"}`)))
	if f := fault.From(err); f.At.Request != 2 {
		t.Errorf("the second request's fault is at %d", f.At.Request-1)
	}
}

// FuzzParseBatch makes sure that whatever arrives is refused or is what it says.
func FuzzParseBatch(f *testing.F) {
	f.Add([]byte(`{"requests":[{"method":"PATCH","path":"/api/a/b","body":{"c":1},"if_match":"\"8\""}]}`))
	f.Add([]byte(`{"requests":[{"method":"DELETE","path":"/api/a/b"}]} x`))
	f.Fuzz(func(t *testing.T, body []byte) {
		calls, err := transport.ParseBatch(body)
		if err != nil {
			if k := fault.From(err).Kind; transport.Status(k) >= 500 {
				t.Errorf("a body is our own fault: %v", err)
			}
			return
		}
		if len(calls) == 0 || len(calls) > transport.BatchMax || !json.Valid(body) {
			t.Errorf("%q is taken as %d calls", body, len(calls))
		}
		for _, c := range calls {
			if c.Verb < engine.Create || c.Verb > engine.Action || c.Trusted ||
				c.Body != nil && !json.Valid(c.Body) {
				t.Errorf("%q became %+v", body, c)
			}
		}
	})
}

// FuzzParseRoute makes sure that a path names one thing, spelled in one way.
func FuzzParseRoute(f *testing.F) {
	for _, p := range []string{"products", "products/01k", "products/aggregate", "actions/x",
		"auth/a/b", "batch", "a//b", "../a"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r := transport.ParseRoute(path)
		if r.Form == transport.FormNone {
			return
		}
		if strings.Contains(path, "//") || strings.ContainsAny(path, "%\\;?#\x00 ") ||
			strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") &&
			r.Form != transport.FormAuth {
			t.Errorf("%q is %+v", path, r)
		}
		if r.Form == transport.FormRecord && path != r.Target+"/"+r.Record ||
			r.Form == transport.FormList && path != r.Target {
			t.Errorf("%q is %+v", path, r)
		}
	})
}
