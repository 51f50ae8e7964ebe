package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/galleybackend/galley/internal/serve"
)

// whole has every field that a client may send to make a thing, in the JSON of protobuf.
const whole = `{"name":"pen","about":"writes","count":"7","weight":0.5,"price":"100","listed":true,
	"when":"2026-11-21T20:00:00.125Z","day":{"year":2024,"month":2,"day":29},"span":"90.250s",
	"mail":"a@example.com","page":"https://example.com/","state":"THING_STATE_IN_USE",
	"tags":["a","b",""],"sizes":["1","-2","9007199254740991"],"extra":{"a":[1,null,{"b":"c"}]},
	"secret":"s","mine":"m"}`

func TestEveryTypeGoesAndComesBackInEveryProtocol(t *testing.T) {
	w := open(t, nil)
	for _, protocol := range []string{"grpc", "grpcweb", "connect", "json"} {
		t.Run(protocol, func(t *testing.T) {
			ana := w.signUp(protocol)
			p := w.person(protocol)
			p.id, p.token = ana.id, ana.token
			made := p.do("Things/Create", whole, "Idempotency-Key", "1")
			id := made["id"].(string)
			var want map[string]any
			if err := json.Unmarshal([]byte(whole), &want); err != nil {
				t.Fatal(err)
			}
			delete(want, "secret") // nobody may read it
			want["owner"] = p.id
			for name, v := range want {
				if !reflect.DeepEqual(made[name], v) {
					t.Errorf("%s is %v, want %v", name, made[name], v)
				}
			}
			if _, told := made["secret"]; told {
				t.Error("the secret was told")
			}
			if got := p.do("Things/Get", `{"id":"`+id+`"}`); !reflect.DeepEqual(got, made) {
				t.Errorf("the record is %v, and was %v when it was made", got, made)
			}
			_, rest := p.rest("GET", "/api/things/"+id, "")
			for name, v := range map[string]any{"name": "pen", "count": 7.0, "weight": 0.5, "price": 100.0,
				"when": "2026-11-21T20:00:00.125Z", "day": "2024-02-29", "span": "1m30s250ms",
				"state": "in-use", "tags": []any{"a", "b", ""},
				"sizes": []any{1.0, -2.0, 9007199254740991.0}, "owner": p.id,
				"extra": map[string]any{"a": []any{1.0, nil, map[string]any{"b": "c"}}}} {
				if !reflect.DeepEqual(rest[name], v) {
					t.Errorf("over HTTP %s is %v, want %v", name, rest[name], v)
				}
			}
			// A stranger does not see what only its owner may.
			if got := w.person(protocol).do("Things/Get", `{"id":"`+id+`"}`); got["mine"] != nil ||
				got["name"] != "pen" {
				t.Errorf("a stranger sees %v", got)
			}
		})
	}
}

// refused asks what must be refused, and returns the code, the reason and the fields.
func refused(t *testing.T, err error) (connect.Code, *errdetails.ErrorInfo, []string, *connect.Error) {
	t.Helper()
	var e *connect.Error
	if !errors.As(err, &e) {
		t.Fatalf("the answer is no problem: %v", err)
	}
	info, fields := &errdetails.ErrorInfo{}, []string(nil)
	for _, d := range e.Details() {
		v, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		switch v := v.(type) {
		case *errdetails.ErrorInfo:
			info = v
		case *errdetails.BadRequest:
			for _, f := range v.FieldViolations {
				fields = append(fields, f.Field)
			}
		}
	}
	return e.Code(), info, fields, e
}

func TestProblemsAreStatusesWithDetails(t *testing.T) {
	w := open(t, nil)
	ana, bo := w.signUp("ana"), w.signUp("bo")
	id := ana.do("Things/Create", `{"name":"pen","price":"1"}`, "Idempotency-Key", "1")["id"].(string)
	bad := ana.do("Things/Create", `{"name":"bad","price":"1"}`, "Idempotency-Key", "2")["id"].(string)
	for _, c := range []struct {
		who          *person
		method, text string
		code         connect.Code
		reason       string
		fields       string
	}{
		{ana, "Things/Get", `{"id":"x"}`, connect.CodeNotFound, "NOT_FOUND", ""},
		{ana, "Things/Create", `{"name":"","price":"0","count":"1001"}`, connect.CodeInvalidArgument,
			"INVALID_INPUT", "count price"},
		{ana, "Things/Create", `{"id":"` + id + `","name":"a","price":"1"}`, connect.CodeAlreadyExists,
			"ALREADY_EXISTS", "id"},
		{w.person("grpc"), "Things/Create", `{"id":"` + id[:25] + `z","name":"a","price":"1"}`,
			connect.CodeUnauthenticated, "UNAUTHENTICATED", ""},
		{bo, "Things/Delete", `{"id":"` + id + `"}`, connect.CodePermissionDenied, "FORBIDDEN", ""},
		{ana, "Things/Update", `{"id":"` + id + `","version":"9","patch":{"name":"x"}}`, connect.CodeAborted,
			"STALE", ""},
		{ana, "Things/List", `{"filter":"nme == 1"}`, connect.CodeInvalidArgument, "INVALID_FILTER", "filter"},
		{ana, "Things/List", `{"page_size":-1}`, connect.CodeInvalidArgument, "INVALID_REQUEST", "page_size"},
		{ana, "Things/List", `{"page_token":"x"}`, connect.CodeInvalidArgument, "INVALID_CURSOR", "page_token"},
		{ana, "Things/Create", `{"name":"a","price":"1"}`, connect.CodeInvalidArgument,
			"IDEMPOTENCY_KEY_MISSING", ""},
		{ana, "Actions/Take", `{"thing":"` + id + `"}`, connect.CodeInvalidArgument,
			"IDEMPOTENCY_KEY_MISSING", ""},
	} {
		_, err := c.who.try(c.method, c.text)
		code, info, fields, e := refused(t, err)
		if code != c.code || info.Reason != c.reason || info.Domain != "things" ||
			strings.Join(fields, " ") != c.fields {
			t.Errorf("%s %s: %v %s %s %v: %s", c.method, c.text, code, info.Reason, info.Domain, fields,
				e.Message())
		}
		if info.Reason == "IDEMPOTENCY_KEY_MISSING" &&
			!strings.HasSuffix(e.Message(), ": metadata idempotency-key.") {
			t.Errorf("%s: how to send a key is %q", c.method, e.Message())
		}
		if c.who.header.Get("Request-Id") == "" {
			t.Errorf("%s: the answer does not name the request", c.method)
		}
	}
	// A refusal of the app's code carries its data, and a check its code.
	_, err := ana.try("Actions/Take", `{"thing":"`+bad+`","many":"3"}`, "Idempotency-Key", "t")
	code, info, _, e := refused(t, err)
	if code != connect.CodeFailedPrecondition || info.Reason != "TOO_BAD" ||
		info.Metadata["name"] != "bad" || info.Metadata["many"] != "3" || e.Message() != "It is too bad." {
		t.Errorf("the refusal is %v %v %q", code, info, e.Message())
	}
	_, err = ana.try("Actions/Take", `{"thing":"`+id+`","many":"3"}`, "Idempotency-Key", "u")
	if code, info, _, _ = refused(t, err); code != connect.CodeFailedPrecondition ||
		info.Reason != "OUT_OF_STOCK" {
		t.Errorf("the check says %v %v", code, info)
	}
}

func TestWhatMayNotBeSentIsRefusedAndNotPassedOver(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	id := ana.do("Things/Create", `{"name":"pen","price":"1"}`, "Idempotency-Key", "1")["id"].(string)
	// The numbers of fields that the record has: stock, version, owner.
	for _, c := range []struct {
		method, fields, want string
		message              []byte
	}{
		{"Things/Create", "stock not_writable", "INVALID_INPUT",
			appendVarint(appendText(appendVarint(nil, 15, 1), 11, "pen"), 30, 5)},
		{"Things/Create", "version not_writable", "INVALID_INPUT",
			appendVarint(appendText(appendVarint(nil, 15, 1), 11, "pen"), 4, 5)},
		{"Things/Create", "owner not_writable", "INVALID_INPUT",
			appendText(appendText(appendVarint(nil, 15, 1), 11, "pen"), 10, id)},
		{"Things/Update", "stock not_writable", "INVALID_INPUT",
			appendText(appendText(nil, 1, id), 2, string(appendVarint(nil, 30, 5)))},
		{"Things/Create", " unknown", "INVALID_INPUT",
			appendVarint(appendText(appendVarint(nil, 15, 1), 11, "pen"), 77, 5)},
		{"Things/Get", " unknown", "INVALID_INPUT", appendVarint(appendText(nil, 1, id), 99, 5)},
		{"Actions/Take", "lines[0] unknown", "INVALID_INPUT",
			appendText(appendText(nil, 1, id), 3, string(appendVarint(nil, 9, 5)))},
		{"Things/Get", "", "INVALID_REQUEST", appendVarint(nil, 1, 5)},
		{"Things/Get", "", "INVALID_REQUEST", []byte{0x0a, 0x7f}},
		{"Things/Get", "", "INVALID_REQUEST", []byte("\x0a\x01\xff")},
	} {
		err := ana.send(c.method, c.message)
		code, info, _, e := refused(t, err)
		got := ""
		for _, d := range e.Details() {
			if v, err := d.Value(); err == nil {
				if bad, ok := v.(*errdetails.BadRequest); ok {
					f := bad.FieldViolations[0]
					_, _, n := protowire.ConsumeTag(f.ProtoReflect().GetUnknown())
					reason, _ := protowire.ConsumeString(f.ProtoReflect().GetUnknown()[n:])
					got = f.Field + " " + strings.ToLower(reason)
				}
			}
		}
		if code != connect.CodeInvalidArgument || info.Reason != c.want || got != c.fields {
			t.Errorf("%s %x: %v %s %q: %v", c.method, c.message, code, info.Reason, got, err)
		}
	}
	// JSON knows the same names and no others.
	p := w.person("json")
	for _, text := range []string{`{"idd":"x"}`, `{"id":"x","id":"y"}`, `{"id":1}`, `[]`, ``, `{"id":"x"} {}`} {
		res, body := p.rest("POST", "/things.v1.Things/Get", text, "Content-Type", "application/json")
		if res.Status != 400 || body["code"] != "invalid_argument" {
			t.Errorf("%s is answered with %d %v", text, res.Status, body)
		}
	}
}

func TestPatchesFollowTheirMask(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	id := ana.do("Things/Create", whole, "Idempotency-Key", "1")["id"].(string)
	for _, c := range []struct {
		patch string
		want  map[string]any // nil is gone
	}{
		{`"patch":{"name":"ink"}`, map[string]any{"name": "ink", "about": "writes"}},
		{`"patch":{"count":"0","listed":false}`, map[string]any{"count": nil, "listed": nil}},
		{`"patch":{"name":"a","about":"b"},"update_mask":"about"`, map[string]any{"name": "ink", "about": "b"}},
		{`"patch":{},"update_mask":"about,weight,day,extra"`, map[string]any{"about": nil, "weight": nil,
			"day": nil, "extra": nil}},
		{`"patch":{"tags":["x"]}`, map[string]any{"tags": []any{"x"}, "sizes": []any{"1", "-2",
			"9007199254740991"}}},
		{`"update_mask":"tags,sizes"`, map[string]any{"tags": nil, "sizes": nil}},
		{`"patch":{"state":"THING_STATE_WORN"}`, map[string]any{"state": "THING_STATE_WORN"}},
	} {
		got := ana.do("Things/Update", `{"id":"`+id+`",`+c.patch+`}`)
		for name, v := range c.want {
			if !reflect.DeepEqual(got[name], v) {
				t.Errorf("%s: %s is %v, want %v", c.patch, name, got[name], v)
			}
		}
	}
	for path, want := range map[string]string{"stock": "INVALID_INPUT", "nothing": "INVALID_INPUT",
		"name.x": "INVALID_INPUT"} {
		_, err := ana.try("Things/Update", `{"id":"`+id+`","update_mask":"`+path+`"}`)
		if _, info, _, _ := refused(t, err); info.Reason != want {
			t.Errorf("the mask %s is %v", path, err)
		}
	}
}

func TestListsExpandAndAggregate(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	var ids []string
	for i, text := range []string{`{"name":"a","price":"1"}`, `{"name":"b","price":"2"}`,
		`{"name":"c","price":"3","state":"THING_STATE_WORN"}`} {
		if i > 0 {
			text = text[:len(text)-1] + `,"like":"` + ids[0] + `","fans":["` + ana.id + `"]}`
		}
		ids = append(ids, ana.do("Things/Create", text, "Idempotency-Key", text[9:10])["id"].(string))
	}
	page := ana.do("Things/List", `{"sort":"-name","page_size":2,"total":true,
		"expand":["like.owner","fans"]}`)
	items := page["items"].([]any)
	if len(items) != 2 || page["total"] != "3" || page["next_page_token"] == "" {
		t.Fatalf("the page is %v", page)
	}
	first := items[0].(map[string]any)["expand"].(map[string]any)
	like := first["like"].(map[string]any)
	if like["name"] != "a" || like["expand"].(map[string]any)["owner"].(map[string]any)["id"] != ana.id ||
		len(first["fans"].([]any)) != 1 {
		t.Errorf("beside it stands %v", first)
	}
	rest := ana.do("Things/List", `{"sort":"-name","page_size":2,"expand":["like.owner","fans"],"page_token":"`+
		page["next_page_token"].(string)+`"}`)
	if items = rest["items"].([]any); len(items) != 1 || rest["next_page_token"] != nil ||
		rest["total"] != nil || items[0].(map[string]any)["name"] != "a" {
		t.Errorf("the last page is %v", rest)
	}
	got := ana.do("Things/Aggregate", `{"select":["n:count()","most:max(price)"],"group":["state"],
		"sort":"-n"}`)
	row := func(state, n, most string) any {
		return map[string]any{"columns": map[string]any{"state": map[string]any{"string_value": state},
			"n": map[string]any{"int_value": n}, "most": map[string]any{"int_value": most}}}
	}
	want := []any{row("new", "2", "2"), row("worn", "1", "3")}
	if !reflect.DeepEqual(got["items"], want) {
		t.Errorf("the groups are %v", got)
	}
	got = ana.do("States/List", `{}`)
	want = []any{map[string]any{"state": "STATE_STATE_NEW", "n": "2", "worth": "3"},
		map[string]any{"state": "STATE_STATE_WORN", "n": "1", "worth": "3"}}
	if !reflect.DeepEqual(got["items"], want) {
		t.Errorf("the view is %v", got)
	}
}

// What is whole stays so, however large; what has no value is not there.
func TestAggregatesKeepTheirKinds(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	for i, text := range []string{`{"name":"a","price":"9007199254740991","weight":0.25,
		"day":{"year":2024,"month":2,"day":29},"when":"2026-11-21T20:00:00.125Z","span":"90.250s","listed":true}`,
		`{"name":"b","price":"9007199254740990","weight":0.5}`} {
		ana.do("Things/Create", text, "Idempotency-Key", fmt.Sprint(i))
	}
	ask := `{"select":["all:sum(price)","heavy:sum(weight)","mean:avg(count)","first:min(day)",
		"last:max(when)","long:max(span)","some:max(listed)","name:min(name)","n:count()","none:max(about)"]}`
	want := map[string]any{"all": map[string]any{"int_value": "18014398509481981"},
		"heavy": map[string]any{"double_value": 0.75}, "mean": map[string]any{"double_value": 1.0},
		"first": map[string]any{"string_value": "2024-02-29"},
		"last":  map[string]any{"time_value": "2026-11-21T20:00:00.125Z"},
		"long":  map[string]any{"duration_value": "90.250s"}, "some": map[string]any{"bool_value": true},
		"name": map[string]any{"string_value": "a"}, "n": map[string]any{"int_value": "2"}}
	for _, protocol := range []string{"grpc", "grpcweb", "connect", "json"} {
		items := w.person(protocol).do("Things/Aggregate", ask)["items"].([]any)
		if len(items) != 1 || !reflect.DeepEqual(items[0].(map[string]any)["columns"], want) {
			t.Errorf("over %s the row is %v", protocol, items)
		}
	}
}

func TestAnswersAreKeptUnderTheirKey(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	thing := ana.do("Things/Create", whole, "Idempotency-Key", "one")
	if again := ana.do("Things/Create", whole, "Idempotency-Key", "one"); !reflect.DeepEqual(again, thing) ||
		ana.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the answer was %v, and is %v, %v", thing, again, ana.header)
	}
	_, err := ana.try("Things/Create", `{"name":"x","price":"1"}`, "Idempotency-Key", "one")
	if _, info, _, _ := refused(t, err); info.Reason != "IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("another input under the same key is %v", err)
	}
	id := thing["id"].(string)
	ask := `{"thing":"` + id + `","many":"1","lines":[{"name":"l","on":{"year":2026,"month":1,"day":2}}]}`
	_, err = ana.try("Actions/Take", ask, "Idempotency-Key", `"two"`)
	_, info, _, _ := refused(t, err)
	if info.Reason != "OUT_OF_STOCK" {
		t.Fatal(err)
	}
	_, err = ana.try("Actions/Take", ask, "Idempotency-Key", "two")
	if _, info, _, _ = refused(t, err); info.Reason != "OUT_OF_STOCK" ||
		ana.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the refusal is %v, %v", err, ana.header)
	}
	if res, body := w.admin("PATCH", "/api/things/"+id, `{"stock":5}`); res != 200 {
		t.Fatal(res, body)
	}
	took := ana.do("Actions/Take", ask, "Idempotency-Key", "three")
	if took["left"] != "4" || !reflect.DeepEqual(took["words"], []any{"l"}) || took["when"] == nil {
		t.Errorf("the action answers %v", took)
	}
	if again := ana.do("Actions/Take", ask, "Idempotency-Key", "three"); !reflect.DeepEqual(again, took) {
		t.Errorf("the action answered %v, and then %v", took, again)
	}
	if got := ana.do("Actions/Nothing", `{}`); len(got) != 0 {
		t.Errorf("nothing is %v", got)
	}
	if got := ana.do("Actions/Peek", `{"thing":"`+id+`"}`); got["name"] != "pen" || got["extra"] == nil {
		t.Errorf("peek answers %v", got)
	}
}

func TestPagesOfOtherOriginsCannotAsk(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	text := `{"id":"` + ana.id + `","patch":{"name":"Eve"}}`
	ask := func(headers ...string) int {
		p := *ana
		p.token = ""
		headers = append(headers, "Cookie", "galley="+ana.token, "Content-Type", "application/json")
		res, _ := p.rest("POST", "/things.v1.Users/Update", text, headers...)
		return res.Status
	}
	for _, headers := range [][]string{{"Origin", "http://evil.example"}, {"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"}, {"Origin", "null"}} {
		if got := ask(headers...); got != http.StatusForbidden {
			t.Errorf("with %v the answer is %d", headers, got)
		}
	}
	for _, headers := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Origin", w.base}, nil} {
		if got := ask(headers...); got != http.StatusOK {
			t.Errorf("with %v the answer is %d", headers, got)
		}
	}
	res, err := http.Get(w.base + "/things.v1.Things/List?connect=v1&encoding=json&message=%7B%7D")
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode == http.StatusOK {
		t.Error("GET is answered")
	}
}

func TestHealthAndReflection(t *testing.T) {
	w := open(t, nil)
	for path, want := range map[string]int{"/grpc.health.v1.Health/Check": 200,
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": 405} {
		res, body := w.person("json").rest("POST", path, `{}`)
		if want == 200 && (res.Status != 200 || body["status"] != "SERVING") ||
			want != 200 && res.Status == 200 {
			t.Errorf("%s is %d %v", path, res.Status, body)
		}
	}
	res, body := w.person("json").rest("POST", "/grpc.health.v1.Health/Check", `{"service":"nope"}`)
	if res.Status != 404 || body["code"] != "not_found" {
		t.Errorf("the health of nothing is %d %v", res.Status, body)
	}
	r, err := http.NewRequest("POST", w.base+"/things.v1.Closed/List", strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	none, err := plain().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, none.Body)
	none.Body.Close()
	if got := none.Header.Get("Grpc-Status"); got != "12" {
		t.Errorf("what is closed answers %v", none.Header)
	}
}

func TestADeadlineOfTheCallerHolds(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	m := w.method("Things/List")
	_, err := ana.client(m).CallUnary(ctx, ana.request(m, `{}`))
	if connect.CodeOf(err) != connect.CodeDeadlineExceeded {
		t.Errorf("a call without time is %v", err)
	}
}

func TestAMessageBeyondTheBoundIsRefused(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	err := ana.send("Things/Create", appendText(nil, 12, strings.Repeat("x", 1<<20)))
	if got := connect.CodeOf(err); got != connect.CodeResourceExhausted &&
		got != connect.CodeInvalidArgument {
		t.Errorf("a message of more than a megabyte is %v", err)
	}
	if !strings.Contains(err.Error(), "1048576") {
		t.Errorf("the problem does not name the bound: %v", err)
	}
}

func TestCallsAreCountedAsOverHTTP(t *testing.T) {
	w := open(t, func(c *serve.Config) { c.Limits = "on" })
	p := w.person("connect")
	for range 2000 {
		if _, err := p.try("States/List", `{}`); err != nil {
			code, info, _, e := refused(t, err)
			if code != connect.CodeResourceExhausted || info.Reason != "RATE_LIMITED" {
				t.Fatal(err)
			}
			for _, d := range e.Details() {
				if v, err := d.Value(); err == nil {
					if _, ok := v.(*errdetails.RetryInfo); ok {
						return
					}
				}
			}
			t.Fatalf("the refusal does not say when to come back: %v", e.Details())
		}
	}
	t.Fatal("more calls are let in than the rate says")
}
