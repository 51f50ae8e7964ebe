package rpc_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/serve"
)

// told is a call of the script: by HTTP and JSON, and by gRPC. {id} is the thing that was
// made first, {last} the one made last.
type told struct {
	key          string
	method, path string
	json         string
	rpc, message string
}

var script = []told{
	{"k1", "POST", "/api/things", `{"name":"pen","price":100,"about":"writes","tags":["a"],"day":"2024-02-29",
		"extra":{"a":[1,null]},"state":"in-use","weight":0.5}`,
		"Things/Create", `{"name":"pen","price":"100","about":"writes","tags":["a"],
		"day":{"year":2024,"month":2,"day":29},"extra":{"a":[1,null]},"state":"THING_STATE_IN_USE","weight":0.5}`},
	{"k2", "POST", "/api/things", `{"name":"bad","price":1,"like":"{id}","count":0,"listed":false}`,
		"Things/Create", `{"name":"bad","price":"1","like":"{id}","count":"0","listed":false}`},
	{"", "PATCH", "/api/things/{id}", `{"name":"ink","about":null}`,
		"Things/Update", `{"id":"{id}","patch":{"name":"ink"},"update_mask":"name,about"}`},
	{"", "PATCH", "/api/things/{id}", `{"price":0}`,
		"Things/Update", `{"id":"{id}","patch":{"price":"0"}}`},
	{"", "PATCH", "/api/things/{id}", `{"stock":1}`,
		"Things/Update", `{"id":"{id}","update_mask":"stock"}`},
	{"k3", "POST", "/api/actions/take", `{"thing":"{id}","many":2,"lines":[]}`,
		"Actions/Take", `{"thing":"{id}","many":"2"}`},
	{"k4", "POST", "/api/actions/take", `{"thing":"{last}","many":2,"lines":[]}`,
		"Actions/Take", `{"thing":"{last}","many":"2"}`},
	{"k4", "POST", "/api/actions/take", `{"thing":"{last}","many":2,"lines":[]}`,
		"Actions/Take", `{"thing":"{last}","many":"2"}`},
	{"k4", "POST", "/api/actions/take", `{"thing":"{last}","many":3,"lines":[]}`,
		"Actions/Take", `{"thing":"{last}","many":"3"}`},
	{"", "POST", "/api/actions/nothing", `{}`, "Actions/Nothing", `{}`},
	{"", "POST", "/api/things", `{"name":"x","price":1}`, "Things/Create", `{"name":"x","price":"1"}`},
	{"b1", "POST", "/api/batch", `{"requests":[{"method":"PATCH","path":"/api/things/{id}","body":{"price":7}},
		{"method":"POST","path":"/api/things","body":{"name":"of a batch","price":3}},
		{"method":"POST","path":"/api/actions/nothing","body":{}}]}`,
		"Batch/Do", `{"calls":[{"update_thing":{"id":"{id}","patch":{"price":"7"}}},
		{"create_thing":{"name":"of a batch","price":"3"}},{"nothing":{}}]}`},
	{"b2", "POST", "/api/batch", `{"requests":[{"method":"PATCH","path":"/api/things/{id}","body":{"price":8}},
		{"method":"PATCH","path":"/api/things/{last}","body":{"price":0}}]}`,
		"Batch/Do", `{"calls":[{"update_thing":{"id":"{id}","patch":{"price":"8"}}},
		{"update_thing":{"id":"{last}","patch":{"price":"0"}}}]}`},
	{"", "DELETE", "/api/things/{last}", "", "Things/Delete", `{"id":"{last}"}`},
	{"", "DELETE", "/api/things/{last}", "", "Things/Delete", `{"id":"{last}"}`},
	{"", "GET", "/api/things/{id}", "", "Things/Get", `{"id":"{id}"}`},
}

// Each call is decided alike by both doors, and leaves the same journal but for the door.
func TestTheDoorsAreEqual(t *testing.T) {
	instant := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	same := func(c *serve.Config) {
		c.Now, c.Seed = func() time.Time { return instant }, func() uint64 { return 7 }
	}
	rest, rpc := open(t, same), open(t, same)
	a, b := rest.signUp("ana"), rpc.signUp("ana")
	if a.id != b.id {
		t.Fatalf("the worlds differ: %s, %s", a.id, b.id)
	}
	var ids []string
	for i, call := range script {
		fill := func(text string) string {
			for name, id := range map[string]string{"{id}": at(ids, 0), "{last}": at(ids, len(ids)-1)} {
				text = strings.ReplaceAll(text, name, id)
			}
			return text
		}
		var headers []string
		if call.key != "" {
			headers = []string{"Idempotency-Key", call.key}
		}
		res, body := a.rest(call.method, fill(call.path), fill(call.json), headers...)
		answer, err := b.try(call.rpc, fill(call.message), headers...)
		code, want := "", ""
		if err != nil {
			_, info, _, _ := refused(t, err)
			code = strings.ToLower(info.Reason)
		}
		if res.Status >= 400 {
			want = body["code"].(string)
		}
		if code != want || answer != nil && (answer["id"] != body["id"] ||
			fmt.Sprint(answer["name"]) != fmt.Sprint(body["name"])) {
			t.Errorf("%d: over HTTP it is %d %v, over gRPC %v %v", i, res.Status, body, answer, err)
		}
		if a, b := res.Header.Get("Idempotent-Replayed"), b.header.Get("Idempotent-Replayed"); a != b {
			t.Errorf("%d: over HTTP it is replayed: %q, over gRPC %q", i, a, b)
		}
		if call.rpc == "Things/Create" && err == nil {
			ids = append(ids, answer["id"].(string))
		}
	}
	want, got := rest.journal(), rpc.journal()
	if len(want) < 6 || len(want) != len(got) {
		t.Fatalf("one journal has %d entries, the other %d", len(want), len(got))
	}
	for i := range want {
		if !reflect.DeepEqual(want[i], got[i]) {
			t.Errorf("entry %d is\n%v over HTTP, and\n%v over gRPC", i, want[i], got[i])
		}
	}
}

func at(ids []string, i int) string {
	if i < 0 || i >= len(ids) {
		return ""
	}
	return ids[i]
}

// journal returns the entries without what is of the wire or of chance.
func (w *world) journal() []map[string]any {
	w.t.Helper()
	_, text := w.admin("GET", "/local/journal", "")
	var out []map[string]any
	for line := range strings.Lines(text) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatal(line, err)
		}
		if door, is := e["door"]; is && door != "rest" && door != "rpc" {
			continue // the app itself
		}
		for _, name := range []string{"door", "request", "call", "hash", "previous", "fingerprint"} {
			delete(e, name)
		}
		out = append(out, e)
	}
	return out
}
