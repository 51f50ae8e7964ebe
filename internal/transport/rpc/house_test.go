package rpc_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

func TestSessionsBeginGoOnAndEnd(t *testing.T) {
	w := open(t, nil)
	p := w.person("grpc")
	up := p.do("Auth/SignUp", `{"email":"ana@example.com","password":"correct horse battery","name":"Ana"}`)
	in := p.do("Auth/SignIn", `{"email":"ana@example.com","password":"correct horse battery"}`)
	if up["user"] != in["user"] || up["token"] == in["token"] || in["refresh_token"] == nil ||
		in["expires"] == nil || p.header.Get("Set-Cookie") != "" {
		t.Fatalf("one signs up with %v, and in with %v, %v", up, in, p.header)
	}
	p.token = in["token"].(string)
	if got := p.do("Users/Get", `{"id":"`+in["user"].(string)+`"}`); got["name"] != "Ana" {
		t.Errorf("Ana sees %v", got)
	}
	now := p.do("Auth/Session", `{}`)
	if now["user"] != in["user"] || !reflect.DeepEqual(now["methods"], []any{"password"}) {
		t.Errorf("the session is %v", now)
	}
	next := p.do("Auth/Refresh", `{"refresh_token":"`+in["refresh_token"].(string)+`"}`)
	if next["token"] == in["token"] || next["user"] != in["user"] {
		t.Errorf("the next token is %v", next)
	}
	p.token = next["token"].(string)
	p.do("Auth/SignOut", `{}`)
	for _, c := range []struct {
		method, text string
		code         connect.Code
	}{
		{"Auth/Session", `{}`, connect.CodeUnauthenticated},
		{"Auth/SignOut", `{}`, connect.CodeUnauthenticated},
		{"Auth/Refresh", `{"refresh_token":"` + next["refresh_token"].(string) + `"}`,
			connect.CodeUnauthenticated},
		{"Auth/SignIn", `{"email":"ana@example.com","password":"another horse battery"}`,
			connect.CodeUnauthenticated},
		{"Auth/SignIn", `{"email":"nobody@example.com","password":"another horse battery"}`,
			connect.CodeUnauthenticated},
		{"Auth/SignIn", `{}`, connect.CodeInvalidArgument},
		{"Auth/SignUp", `{"email":"ana@example.com","password":"correct horse battery","name":"Ana"}`,
			connect.CodeAlreadyExists},
		{"Auth/SignUp", `{"email":"bo@example.com","password":"short","name":"Bo"}`,
			connect.CodeInvalidArgument},
	} {
		if _, err := p.try(c.method, c.text); connect.CodeOf(err) != c.code && c.method != "Auth/SignIn" ||
			err == nil {
			t.Errorf("%s %s is %v, want %v", c.method, c.text, err, c.code)
		}
	}
	// Who may not be written when one signs up is refused, and not passed over.
	err := p.send("Auth/SignUp", appendVarint(appendText(appendText(appendText(nil, 1, "eve@example.com"), 2,
		"correct horse battery"), 10, "Eve"), 11, 1_000_000))
	if _, info, _, _ := refused(t, err); info.Reason != "INVALID_INPUT" {
		t.Errorf("a wallet of one's own choice is %v", err)
	}
}

func TestJobsAreShownFollowedAndCancelled(t *testing.T) {
	w := open(t, nil)
	ana, bo := w.signUp("ana"), w.signUp("bo")
	start := func(key, text string) string {
		t.Helper()
		id := `{"id":"` + ana.do("Actions/Send", text, "Idempotency-Key", key)["job"].(string) + `"}`
		for late := time.Now().Add(3 * patience); ; { // what a busy machine begins is there later
			_, err := ana.try("Jobs/Get", id)
			if err == nil {
				return id
			}
			if _, info, _, _ := refused(t, err); info.Reason != "NOT_FOUND" || time.Now().After(late) {
				t.Fatal(err)
			}
		}
	}
	ends := func(id string) map[string]any {
		t.Helper()
		s := ana.follow("Jobs/Follow", id)
		defer s.stop()
		for {
			m, err := s.next()
			if err != nil {
				t.Fatal(err)
			}
			if m["state"] == "JOB_STATE_WAITING" || m["state"] == "JOB_STATE_RUNNING" {
				continue
			}
			if more, err := s.next(); more != nil || err != nil {
				t.Errorf("after its end the job is %v, %v", more, err)
			}
			return m
		}
	}
	done := start("1", `{"name":"pen"}`)
	if m := ends(done); m["state"] != "JOB_STATE_DONE" || m["name"] != "pack" ||
		!reflect.DeepEqual(m["result"], map[string]any{"name": "pen", "by": []any{1.0, 2.0}}) {
		t.Errorf("the job ends as %v", m)
	}
	m := ends(start("2", `{"name":"bad"}`))
	if problem, _ := m["problem"].(map[string]any); m["state"] != "JOB_STATE_FAILED" ||
		problem["code"] != "too_bad" || problem["detail"] == nil {
		t.Errorf("the job fails as %v", m)
	}
	slow := start("3", `{"name":"slow","slow":true}`)
	if got := ana.do("Jobs/Get", slow); got["state"] != "JOB_STATE_WAITING" &&
		got["state"] != "JOB_STATE_RUNNING" {
		t.Errorf("the job is %v", got)
	}
	if got := ana.do("Jobs/Cancel", slow); len(got) > 0 {
		t.Errorf("the end of a job is %v", got)
	}
	if m := ends(slow); m["state"] != "JOB_STATE_CANCELLED" {
		t.Errorf("the job is %v", m)
	}
	for _, c := range []struct {
		who          *person
		method, text string
		reason       string
	}{
		{ana, "Jobs/Cancel", done, "JOB_ENDED"},
		{bo, "Jobs/Get", done, "NOT_FOUND"},
		{ana, "Jobs/Get", `{"id":"../x"}`, "NOT_FOUND"},
		{ana, "Jobs/Get", `{}`, "NOT_FOUND"},
	} {
		_, err := c.who.try(c.method, c.text)
		if _, info, _, _ := refused(t, err); info.Reason != c.reason {
			t.Errorf("%s %s is %v, want %s", c.method, c.text, err, c.reason)
		}
	}
}

func TestABatchIsDoneAsAWholeOrNotAtAll(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	id := ana.do("Things/Create", `{"name":"pen","price":"1"}`, "Idempotency-Key", "1")["id"].(string)
	ask := `{"calls":[{"create_thing":{"name":"ink","price":"2","tags":["a"]}},
		{"update_thing":{"id":"` + id + `","patch":{"about":"writes"}}},{"nothing":{}},
		{"delete_thing":{"id":"` + id + `","version":"2"}}]}`
	got := ana.do("Batch/Do", ask, "Idempotency-Key", "2")
	answers, _ := got["answers"].([]any)
	if len(answers) != 4 {
		t.Fatalf("the batch is answered with %v", got)
	}
	var kinds []string
	for i, key := range []string{"create_thing", "update_thing", "nothing", "delete_thing"} {
		body, ok := answers[i].(map[string]any)[key].(map[string]any)
		if !ok {
			t.Fatalf("the answer %d is %v", i, answers[i])
		}
		name, _ := body["name"].(string)
		kinds = append(kinds, name)
	}
	if !slices.Equal(kinds, []string{"ink", "pen", "", ""}) {
		t.Errorf("the answers are %v", answers)
	}
	if again := ana.do("Batch/Do", ask, "Idempotency-Key", "2"); !reflect.DeepEqual(again, got) ||
		ana.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the answer was %v, and then %v, %v", got, again, ana.header)
	}
	many := `{"calls":[` + strings.Repeat(`{"nothing":{}},`, 50) + `{"nothing":{}}]}`
	for _, c := range []struct{ text, key, reason, call, fields string }{
		{`{"calls":[{"create_thing":{"name":"no","price":"2"}},{"create_thing":{"name":"no","price":"0"}}]}`,
			"3", "INVALID_INPUT", "1", "calls[1].price"},
		{`{"calls":[{"create_thing":{"name":"no","price":"2"}},{"take":{"thing":"` + id + `","many":"1"}}]}`,
			"4", "NOT_FOUND", "1", ""},
		{`{"calls":[{"create_thing":{"name":"no","price":"2"}}]}`, "", "IDEMPOTENCY_KEY_MISSING", "", ""},
		{`{"calls":[{}]}`, "5", "INVALID_INPUT", "0", "calls[0]"},
		{`{}`, "6", "INVALID_INPUT", "", ""},
		{many, "7", "INVALID_INPUT", "", ""},
	} {
		var headers []string
		if c.key != "" {
			headers = []string{"Idempotency-Key", c.key}
		}
		_, err := ana.try("Batch/Do", c.text, headers...)
		_, info, fields, _ := refused(t, err)
		if info.Reason != c.reason || info.Metadata["call"] != c.call || strings.Join(fields, " ") != c.fields {
			t.Errorf("%.80s is %v %v %v: %v", c.text, info.Reason, info.Metadata, fields, err)
		}
	}
	if got := ana.do("Things/List", `{"filter":"name == 'no'"}`); len(got) > 0 {
		t.Errorf("what was refused left %v", got)
	}
	// Two calls in one place are none, and a field that may not be sent is named with its place.
	number := w.file.Messages().ByName("BatchCall").Fields().ByName("create_thing").Number()
	create := appendText(nil, number, string(appendVarint(appendText(appendVarint(nil, 15, 1), 11, "pen"),
		30, 5)))
	for message, field := range map[string]string{
		string(create): "calls[0].stock",
		string(appendText(appendText(nil, number, ""), number, "")): "calls[0]",
		string(appendText(nil, 999, "")):                            "calls[0]",
		"":                                                          "calls[0]",
	} {
		message = string(appendText(nil, 1, message))
		err := ana.send("Batch/Do", []byte(message))
		_, info, _, e := refused(t, err)
		got := ""
		for _, d := range e.Details() {
			if v, err := d.Value(); err == nil {
				if bad, ok := v.(*errdetails.BadRequest); ok {
					got = bad.FieldViolations[0].Field
				}
			}
		}
		if info.Reason != "INVALID_INPUT" || got != field {
			t.Errorf("%x is %v %q: %v", message, info.Reason, got, err)
		}
	}
}
