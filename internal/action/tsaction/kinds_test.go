package tsaction

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/actiontest"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// kinds is an app with one function of each kind.
func kinds() *spec.Spec {
	s := actiontest.Shop("a")
	s.Jobs = []*spec.Job{{Name: "j"}}
	s.Webhooks = []*spec.Webhook{{Name: "w"}}
	s.Routes = []*spec.Route{{Name: "r", Paths: []spec.ProxyRoute{{Method: "GET", Path: "/r"},
		{Method: "POST", Path: "/r/{id}"}}}}
	s.Collection("orders").Hooks = []spec.Name{{Name: "create"}}
	return s
}

func TestEachFolderHasItsKind(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"a job": {"jobs/j.ts", `import { job } from "galley"; export default job("j", () => {});`, ""},
		"a failure that nobody declared": {"jobs/j.ts", `import { job, fail } from "galley";
export default job("j", () => { throw fail("what"); });`, `the app has no refusal "what"`},
		"an action among jobs": {"jobs/j.ts", `import { action } from "galley"; export default action("j", () => {});`,
			"the default export of this file is no job"},
		"another name": {"webhooks/w.ts", `import { webhook } from "galley"; export default webhook("x", () => {});`,
			"this file is called w but its webhook is called x"},
		"no such job": {"jobs/k.ts", "", "the app file declares no job k"},
		"no hooks":    {"hooks/products.ts", "", "the app file declares no hooks of products"},
		"no default":  {"hooks/orders.ts", "export const a = 1;", "this file exports no hook"},
		"a hook of nothing": {"hooks/orders.ts", `import { hook } from "galley"; export default hook("orders", { saved() {} });`,
			"a hook has create, update and delete; saved is none of them"},
		"a function for all paths": {"routes/r.ts", `import { route } from "galley"; export default route("r", () => {});`, ""},
		"a function for each path": {"routes/r.ts", `import { route } from "galley";
export default route("r", { "GET /r"() {}, "POST /r/{id}": () => {} });`, ""},
		"a path without one": {"routes/r.ts", `import { route } from "galley"; export default route("r", { "GET /r"() {} });`,
			"no code for POST /r/{id} of route r"},
		"a path that is not": {"routes/r.ts", `import { route } from "galley";
export default route("r", { "GET /r"() {}, "POST /r/{id}"() {}, "GET /x"() {} });`,
			"there is code for GET /x, but the app file has no such path in route r"},
	} {
		t.Run(name, func(t *testing.T) {
			_, found := Load(fstest.MapFS{c.file: {Data: []byte(c.text)}}, kinds())
			var said []string
			for _, f := range found {
				said = append(said, f.Message)
			}
			if got := strings.Join(said, "; "); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// keeper is a host with secrets.
type keeper struct{ *actiontest.Memory }

func (k keeper) Secret(name string) (string, error) {
	if name == "KEY" {
		return "a secret", nil
	}
	return "", fault.New(fault.Internal, "there is no secret %s", name)
}

// ask runs a route.
func ask(t *testing.T, body string, input map[string]value.Value) (value.Value, error) {
	t.Helper()
	s := kinds()
	p := load(t, s, map[string]string{"routes/r.ts": `import { route, refuse } from "galley";
export default route("r", (tx, request) => { ` + body + ` });`})
	in := value.NewRecord(action.RequestShape(nil))
	for i := range in.Slots {
		in.Slots[i] = value.OfText("")
	}
	for name, v := range input {
		in.Set(name, v)
	}
	return Runner{}.Run(t.Context(), p, action.Run{Name: "routes/r", Input: in, Output: action.ResponseShape(),
		Bounds: action.Bounds{Time: 5 * time.Second, Memory: 64 << 20, Calls: 100}},
		keeper{actiontest.NewMemory(s)})
}

func TestRoutesAnswerInManyForms(t *testing.T) {
	for body, want := range map[string]string{
		``:                                   `{"status":204,"headers":{},"body":"","binary":false}`,
		`return { body: "text" };`:           `{"status":200,"headers":{"content-type":"text/plain; charset=utf-8"},"body":"text","binary":false}`,
		`return { body: { a: [1, null] } };`: `{"status":200,"headers":{"content-type":"application/json"},"body":"{\"a\":[1,null]}","binary":false}`,
		`return { status: 302, headers: { Location: "/x" } };`:              `{"status":302,"headers":{"Location":"/x"},"body":"","binary":false}`,
		`return { body: "<p>", headers: { "Content-Type": "text/html" } };`: `{"status":200,"headers":{"Content-Type":"text/html"},"body":"<p>","binary":false}`,
		`return { body: new Uint8Array([255, 0, 1, 2]).subarray(0, 2) };`:   `{"status":200,"headers":{"content-type":"application/octet-stream"},"body":"/wA=","binary":true}`,
		`return { body: request.json.n + 1 };`:                              `{"status":200,"headers":{"content-type":"application/json"},"body":"8","binary":false}`,
	} {
		out, err := ask(t, body, map[string]value.Value{"json": value.OfJSON(`{"n":7}`)})
		if err != nil {
			t.Errorf("%s: %v %v", body, err, fault.From(err).Cause)
			continue
		}
		if got := string(value.AppendJSON(nil, out)); got != want {
			t.Errorf("%s\n got %s\nwant %s", body, got, want)
		}
	}
	for body, want := range map[string]string{
		`return "text";`:                               `a route returns {status, headers, body}, got "text"`,
		`return { code: 200 };`:                        "code is none of them",
		`return { status: 99 };`:                       "a number from 200 to 599",
		`const a = {}; a.a = a; return { body: a };`:   "cannot be written as JSON",
		`return { body: "x".repeat(1 << 20) + "yy" };`: "is longer than 1048576",
		`return { body: tx.token.sign("OTHER", {}) };`: "there is no secret OTHER",
	} {
		_, err := ask(t, body, nil)
		if got := fault.From(err).Error(); err == nil || !strings.Contains(got, want) &&
			(fault.From(err).Cause == nil || !strings.Contains(fault.From(err).Cause.Error(), want)) {
			t.Errorf("%s: got %v %v, want %s", body, err, fault.From(err).Cause, want)
		}
	}
}

func TestTokensAreOursAlone(t *testing.T) {
	out, err := ask(t, `
    const token = tx.token.sign("KEY", { sub: "ana" }, { expires: "1h" });
    const [head, body, sum] = token.split(".");
    const none = btoa('{"alg":"none"}').replace(/=+$/, "");
    const good = tx.token.verify("KEY", token);
    return { body: [good.sub, good.exp - good.iat, good.iat === Math.floor(tx.now / 1000),
      tx.token.verify("KEY", head + "." + btoa('{"sub":"bo"}') + "." + sum),
      tx.token.verify("KEY", none + "." + body + "."), tx.token.verify("KEY", none + "." + body + "." + sum),
      tx.token.verify("KEY", token + "A"), tx.token.verify("KEY", "a.b"), tx.token.verify("KEY", undefined),
      tx.token.verify("KEY", tx.token.sign("KEY", {}, { expires: 0 }))?.iat > 0] };`, nil)
	if err != nil {
		t.Fatal(err, fault.From(err).Cause)
	}
	want := `["ana",3600,true,null,null,null,null,null,null,true]`
	if got := out.Record().Get("body").Text(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	now := time.Unix(1_000_000, 0)
	token, err := action.SignToken("k", []byte(`{}`), now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]bool{0: true, 59 * time.Second: true, time.Minute: false, time.Hour: false} {
		if _, ok := action.VerifyToken("k", token, now.Add(at)); ok != want {
			t.Errorf("after %s it is %t", at, ok)
		}
	}
	if _, ok := action.VerifyToken("", token, now); ok {
		t.Error("a token of no secret is one")
	}
}

func (k keeper) HashPassword(_ context.Context, password string) (string, error) {
	return "hash of " + password, nil
}

func (k keeper) CheckPassword(_ context.Context, hash, password string) (bool, error) {
	return hash == "hash of "+password, nil
}

// TestWhatCodeKnowsOfTheWebIsFixed changes what is there for all code, in vain.
func TestWhatCodeKnowsOfTheWebIsFixed(t *testing.T) {
	s := kinds()
	p := load(t, s, map[string]string{"routes/r.ts": `import { route } from "galley";
export default route("r", (tx, request) => {
  const was = [URL.prototype.mine, Response.prototype.json.mine, globalThis.URL.canParse.mine, Headers.mine,
    URLSearchParams.prototype.get.call(new URLSearchParams("a=1"), "a")].join();
  for (const change of [() => { URL.prototype.mine = 1 }, () => { Response.prototype.json.mine = 1 },
    () => { URL.canParse.mine = 1 }, () => { Headers.mine = 1 }, () => { globalThis.URL = null },
    () => { URLSearchParams.prototype.get = () => "stolen" }, () => { delete TextDecoder.prototype.decode },
    () => { tx.jobs.mine = 1 }, () => { tx.token.sign = null }]) {
    try { change() } catch { continue }
    throw new Error("it could be changed: " + change);
  }
  return { body: was };
});`})
	in := value.NewRecord(action.RequestShape(nil))
	for range 2 {
		out, err := Runner{}.Run(t.Context(), p, action.Run{Name: "routes/r", Input: in,
			Output: action.ResponseShape(), Bounds: action.Bounds{Time: 5 * time.Second}},
			keeper{actiontest.NewMemory(s)})
		if err != nil {
			t.Fatal(err, fault.From(err).Cause)
		}
		if got := out.Record().Get("body").Text(); got != ",,,,1" {
			t.Errorf("got %s", got)
		}
	}
}
