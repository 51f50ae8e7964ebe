package galley_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/transport/rest"
	"github.com/galleybackend/galley/internal/transport/rpc"
	"github.com/galleybackend/galley/internal/transport/socket"
)

// doors are the wires over which the twins are asked.
var doors = []string{"rest", "socket", "rpc"}

// outcome is what a door tells of a call, without the words of its protocol.
type outcome struct {
	// code is ok, or that of the problem.
	code     string
	body     string
	replayed bool
}

// front is a twin behind its doors.
type front struct {
	*twin
	base   string
	socket *websocket.Conn
}

// behind puts a twin behind all doors, tied together as a server does it.
func (w *twin) behind() *front {
	w.t.Helper()
	hub := live.New(live.Config{Engine: w.engine, Follow: w.store.Follow, Epoch: "1",
		Append: transport.AppendItem})
	if err := hub.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	config := rest.Config{Engine: w.engine, At: hub.At,
		Spec: func() *spec.Spec { return w.app.Spec }}
	asked := rest.New(config)
	sockets := socket.New(socket.Config{Live: hub, Words: asked.Words,
		Ask: func(rw http.ResponseWriter, r *http.Request, door, credential string) journal.Seq {
			by := rest.Caller{Door: door, Credential: credential}
			asked.Ask(rw, r, &by)
			return by.Seq
		}}, nil)
	config.Socket = sockets.Socket
	main := rest.New(config)
	calls := rpc.New(rpc.Config{Engine: w.engine, Live: hub,
		App: func() *app.App { return w.app }, Lock: func() []byte { return nil },
		Broken: func(err error) { w.t.Error(err) }})
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if calls.Takes(r) {
			main.Remote(rw, r, "rpc", func(m *transport.Remote) int { return calls.Answer(m) })
			return
		}
		main.ServeHTTP(rw, r)
	}))
	f := &front{twin: w, base: s.URL}
	w.t.Cleanup(func() {
		if f.socket != nil {
			_ = f.socket.CloseNow() // the test is over
		}
		hub.Close()
		sockets.Close(w.t.Context())
		calls.Close()
		s.Close()
	})
	return f
}

// ask calls an action over a door, as ana.
func (f *front) ask(door string, n int, c call) outcome {
	f.t.Helper()
	for name, id := range f.ids {
		c.input = strings.ReplaceAll(c.input, "$"+name, string(id))
	}
	if c.input == "" {
		c.input = "{}"
	}
	switch door {
	case "rest":
		return f.overHTTP("/api/actions/"+c.name, c.input, c.key)
	case "rpc":
		name := strings.ToUpper(c.name[:1]) + c.name[1:]
		return f.overHTTP("/twins.v1.Actions/"+name, protoInput(c.input), c.key)
	default:
		return f.overSocket(n, c)
	}
}

// overHTTP posts JSON: to the door for HTTP, and in Connect's protocol to that of gRPC.
func (f *front) overHTTP(path, input, key string) outcome {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.base+path,
		strings.NewReader(input))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+string(f.ids["ana"]))
	r.Header.Set("Idempotency-Key", key)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	out := outcome{code: "ok", body: plain(f.t, body),
		replayed: res.Header.Get("Idempotent-Replayed") != ""}
	if res.StatusCode >= 300 {
		out.code, out.body = codeOf(f.t, body), ""
	}
	return out
}

func (f *front) overSocket(n int, c call) outcome {
	f.t.Helper()
	ctx := f.t.Context()
	if f.socket == nil {
		conn, _, err := websocket.Dial(ctx, f.base+"/api/ws", &websocket.DialOptions{
			Subprotocols: []string{"galley.v1"},
			HTTPHeader:   http.Header{"Authorization": {"Bearer " + string(f.ids["ana"])}}})
		if err != nil {
			f.t.Fatal(err)
		}
		f.socket = conn
	}
	text, err := json.Marshal(map[string]any{"id": n, "method": "POST", "key": c.key,
		"path": "/api/actions/" + c.name, "body": json.RawMessage(c.input)})
	if err == nil {
		err = f.socket.Write(ctx, websocket.MessageText, text)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	for {
		_, text, err := f.socket.Read(ctx)
		if err != nil {
			f.t.Fatal(err)
		}
		var answer struct {
			ID       int
			Status   int
			Body     json.RawMessage
			Problem  json.RawMessage
			Replayed bool
		}
		if err := json.Unmarshal(text, &answer); err != nil {
			f.t.Fatalf("%s: %v", text, err)
		}
		if answer.ID != n {
			continue // a place that was told
		}
		if answer.Problem != nil {
			return outcome{code: codeOf(f.t, answer.Problem), replayed: answer.Replayed}
		}
		return outcome{code: "ok", body: plain(f.t, answer.Body), replayed: answer.Replayed}
	}
}

// codeOf reads the code of a problem, or the reason of an error of Connect.
func codeOf(t testing.TB, body []byte) string {
	t.Helper()
	var problem struct {
		Code    string
		Details []struct {
			Type  string
			Debug struct{ Reason string }
		}
	}
	if err := json.Unmarshal(body, &problem); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, d := range problem.Details {
		if d.Type == "google.rpc.ErrorInfo" {
			return strings.ToLower(d.Debug.Reason)
		}
	}
	return problem.Code
}

// plain writes an answer without what distinguishes the JSON of protobuf from ours:
// numbers as texts, dates as objects, times and spans in another form, words in capitals,
// and members that have no value.
func plain(t testing.TB, body []byte) string {
	t.Helper()
	if len(body) == 0 {
		return "{}"
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	text, err := json.Marshal(simple(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var enumWord = regexp.MustCompile(`^[A-Z_]+_KIND_([A-Z]+)$`)

func simple(v any) any {
	switch v := v.(type) {
	case json.Number:
		return v.String()
	case string:
		if m := enumWord.FindStringSubmatch(v); m != nil {
			return strings.ToLower(m[1])
		}
		if d, err := time.ParseDuration(v); err == nil {
			return d.String()
		}
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return at.String()
		}
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = simple(x)
		}
		return out
	case map[string]any:
		if y, ok := v["year"]; ok && len(v) == 3 {
			return fmt.Sprintf("%04s-%02s-%02s", y, v["month"], v["day"])
		}
		out := map[string]any{}
		for name, x := range v {
			switch x := simple(x).(type) {
			case nil:
			case []any:
				if len(x) > 0 {
					out[name] = x
				}
			default:
				out[name] = x
			}
		}
		return out
	}
	return v
}

var (
	dateText  = regexp.MustCompile(`"(\d{4})-0?(\d{1,2})-0?(\d{1,2})"`)
	milliText = regexp.MustCompile(`"1ms"`)
	kindText  = regexp.MustCompile(`"kind":"(\w+)"`)
)

// protoInput writes the input of an action as protobuf's JSON has it.
func protoInput(input string) string {
	input = dateText.ReplaceAllString(input, `{"year":$1,"month":$2,"day":$3}`)
	input = milliText.ReplaceAllString(input, `"0.001s"`)
	return kindText.ReplaceAllStringFunc(input, func(s string) string {
		word := kindText.FindStringSubmatch(s)[1]
		return `"kind":"EVERYTHING_REQUEST_KIND_` + strings.ToUpper(word) + `"`
	})
}

var fingerprint = regexp.MustCompile(`(?m) [0-9a-f]{64}$`)

// TestDoorsAreEqual runs every script over each door, in both languages and on every
// database, and wants the same answers and the same journal.
func TestDoorsAreEqual(t *testing.T) {
	p := &places{url: pgtest.Shared(t).Database(t)}
	for name, calls := range scripts {
		if slices.ContainsFunc(calls, func(c call) bool { return strings.HasPrefix(c.want, "timeout") }) {
			continue // what runs out of time is the languages' own, and no door's
		}
		t.Run(name, func(t *testing.T) {
			var first, journal string
			for _, on := range databases {
				for _, language := range languages {
					for _, door := range doors {
						way := door + " on " + on + " in " + language
						f := newTwin(t, p, on, language, false).behind()
						var got []string
						for n, c := range calls {
							said := f.ask(door, n+1, c)
							if ok := strings.HasPrefix(c.want, "ok"); ok != (said.code == "ok") {
								t.Errorf("%s: %s(%s) ended in %s, want %s", way, c.name, c.input, said.code, c.want)
							}
							var out struct{ Order ident.Record }
							if said.code == "ok" && json.Unmarshal([]byte(said.body), &out) == nil && out.Order != "" {
								f.ids["last"] = out.Order
							}
							got = append(got, fmt.Sprintf("%+v", said))
						}
						delete(f.ids, "last")
						// A fingerprint is that of the bytes, and an object of protobuf has its members in
						// their own order.
						answers, left := strings.Join(got, "\n"), fingerprint.ReplaceAllString(f.journal(), "")
						left = strings.ReplaceAll(left, `{"z":1,"a":[null,true,"ü"]}`, `{"a":[null,true,"ü"],"z":1}`)
						if first == "" {
							first, journal = answers, left
						}
						if answers != first {
							t.Errorf("over %s the answers are\n%s\nand were\n%s", way, answers, first)
						}
						if left != journal {
							t.Errorf("over %s the journal is\n%s\nand was\n%s", way, left, journal)
						}
					}
				}
			}
		})
	}
}

// TestARetryMayComeOverAnotherDoor sends one checkout over each door, under one key.
func TestARetryMayComeOverAnotherDoor(t *testing.T) {
	p := &places{url: pgtest.Shared(t).Database(t)}
	for _, on := range databases {
		for i := range doors {
			f := newTwin(t, p, on, "ts", false).behind()
			var first outcome
			for n := range doors {
				said := f.ask(doors[(i+n)%len(doors)], n+1, call{name: "checkout", input: line, key: "k1"})
				if said.code != "ok" || said.replayed != (n > 0) || n > 0 && said.body != first.body {
					t.Errorf("on %s the answer over %s is %+v, and was %+v over %s", on,
						doors[(i+n)%len(doors)], said, first, doors[i])
				}
				if n == 0 {
					first = said
				}
			}
		}
	}
}
