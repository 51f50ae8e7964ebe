package tsaction

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/actiontest"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// job loads the code of a job without an input.
func job(t *testing.T, body string) (*Program, *actiontest.Steps, action.Run) {
	t.Helper()
	s := actiontest.Shop()
	s.Jobs = []*spec.Job{{Name: "j"}}
	p := load(t, s, map[string]string{"jobs/j.ts": `import { job, fail, refuse, add } from "galley";
export default job("j", async (job, input) => {` + body + `});`})
	h := actiontest.NewMemory(s)
	h.Checks = actiontest.Keep
	return p, &actiontest.Steps{Host: h, Secrets: map[string]string{"KEY": "s3cret"}},
		action.Run{Name: "jobs/j", Bounds: action.Bounds{Time: 2 * time.Second, Memory: 64 << 20}}
}

func TestJobKeepsWhatItsStepsReturned(t *testing.T) {
	p, steps, run := job(t, `
  const a = await job.step("a", async ({ key }) => ({ key, at: new Date(), n: [1, 2] }));
  const [b, c] = await Promise.all([job.step("b", () => 2), job.step("c", async () => 3)]);
  await job.sleep("rest", "3d");
  job.progress(1, 2);
  const wallet = await job.transaction("credit", async (tx) => {
    const user = await tx.db.users.first({ name: "Ana" });
    return (await tx.db.users.update(user, { wallet: user.wallet + a.n[1] })).wallet;
  });
  return { a, sum: b + c, wallet, id: job.id, random: job.random() < 1, now: job.now };`)
	id := steps.Host.Add(spec.Users, "name", value.OfText("Ana"), "wallet", value.OfInt(5))
	var first string
	for i := range 2 {
		out, err := Runner{}.RunJob(t.Context(), p, run, steps)
		if err != nil {
			t.Fatal(err)
		}
		text := string(value.AppendJSON(nil, out))
		if i == 0 {
			first = text
		}
		want := `{"a":{"key":"job1.a","at":"2026-11-21T10:00:00.000Z","n":[1,2]},"sum":5,"wallet":7,` +
			`"id":"job1","random":true,"now":"2026-11-21T10:00:00.000Z"}`
		if text != want || text != first {
			t.Errorf("run %d returned %s, want %s", i, text, want)
		}
		steps.Again()
	}
	want := []string{`step a is {"key":"job1.a","at":"2026-11-21T10:00:00.000Z","n":[1,2]}`,
		"step b is 2", "step c is 3", `sleep rest is "72h0m0s"`, "progress 1 of 2",
		"transaction credit is 7", "step a again", "step b again", "step c again", "sleep rest again",
		"progress 1 of 2", "transaction credit again"}
	if strings.Join(steps.Notes, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q", steps.Notes)
	}
	if r := steps.Host.Rows(spec.Users); len(r) != 1 || r[0].Get("wallet").Int() != 7 || r[0].Slots[0].Text() != string(id) {
		t.Errorf("the users are %v", r)
	}
}

func TestJobEndsAsItsStepsDo(t *testing.T) {
	stop := errors.New("stopped")
	for name, c := range map[string]struct {
		body string
		want string
	}{
		"a step that fails": {`await job.step("a", () => { throw new Error("no") });`,
			"jobs/j.ts:2:91 Error: no"},
		"a step that fails for good":  {`await job.step("a", () => { throw fail("out_of_stock") });`, "failure out_of_stock"},
		"a failure outside of a step": {`throw fail("not_found");`, "failure not_found"},
		"a stop cannot be caught":     {`try { await job.step("stop", () => 1) } catch { return 1 }`, "stopped"},
		"a sleep that is not over":    {`try { await job.sleep("stop", 5) } catch { return 1 }`, "stopped"},
		"a refusal of a transaction is caught": {`try {
			await job.transaction("t", () => { throw refuse("insufficient_funds") });
		} catch (e) { throw new Error("caught " + e.code) }`, "Error: caught insufficient_funds"},
		"a refusal of a transaction ends the job for good": {`await job.transaction("t", (tx) =>
			tx.db.users.insert({ name: "x", wallet: -1 }));`, "failure insufficient_funds"},
		"what is stale is tried again": {`try {
			await job.transaction("t", () => { throw refuse("stale") });
		} catch { return 1 }`, "stale"},
		"a failure in a transaction": {`try {
			await job.transaction("t", () => { throw fail("out_of_stock") });
		} catch { return 1 }`, "failure out_of_stock"},
		"a wait in vain is caught": {`try { await job.wait("webhook:x", { timeout: "1h" }) } catch (e) {
			throw new Error("caught " + e.code) }`, "Error: caught timeout"},
		"a wait of no time": {`try { await job.wait("webhook:x", { timeout: "0s" }) } catch (e) {
			throw new Error("caught " + e.message) }`, "No webhook:x within 1ms"},
		"a step in a step": {`await job.step("a", () => job.step("b", () => 1));`,
			"job.step cannot be used inside a step"},
		"a transaction in a step": {`await job.step("a", () => job.transaction("b", () => 1));`,
			"job.transaction cannot be used inside a step"},
		"a step in a transaction": {`await job.transaction("a", () => job.step("b", () => 1));`,
			"job.step cannot be used inside a transaction"},
		"tx after its transaction": {`let kept; await job.transaction("a", (tx) => { kept = tx });
			kept.db.users.count();`, "tx can be used inside its call alone"},
		"fetch outside": {`fetch("https://example.com");`, "fetch is not defined"},
		"fetch after its step": {`let kept; await job.step("a", (s) => { kept = s.fetch });
			await kept("https://example.com");`, "fetch can be used inside its step alone"},
		"a promise of nothing": {`await new Promise(() => {});`, "waits for a promise that never resolves"},
		"an unknown code":      {`const code = "what"; throw fail(code);`, `fail("what"): the app has no such refusal`},
		"an unknown secret":    {`job.secret("OTHER");`, "there is no secret OTHER"},
		"no name":              {`await job.step("", () => 1);`, "job.step wants a name"},
		"no length of time":    {`await job.sleep("a", "soon");`, `wants a length of time such as "90s"`},
		"no JSON":              {`const a = {}; a.a = a; await job.step("a", () => a);`, "cannot be written as JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			p, steps, run := job(t, c.body)
			steps.Stop = map[string]error{"stop": stop}
			_, err := Runner{}.RunJob(t.Context(), p, run, steps)
			var failure *action.Failure
			got := fmt.Sprint(err)
			switch {
			case errors.As(err, &failure):
				got = "failure " + failure.Fault.CodeOr()
			case err == stop:
			case err != nil && fault.From(err).Cause != nil:
				got = fmt.Sprint(fault.From(err).Cause)
			}
			if !strings.Contains(got, strings.TrimPrefix(c.want, "jobs/j.ts:2:91 ")) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestStepsFetch(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/big":
			for range 2 << 10 {
				_, _ = w.Write(make([]byte, 1<<10))
			}
			return
		case "/slow":
			<-r.Context().Done()
			return
		}
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusPaymentRequired)
		fmt.Fprintf(w, `{"method":%q,"type":%q,"auth":%q,"body":%q,"query":%q}`, r.Method,
			r.Header.Get("Content-Type"), r.Header.Get("Authorization"), body, r.URL.RawQuery)
	}))
	t.Cleanup(server.Close)
	p, steps, run := job(t, `
  return await job.step("ask", async ({ key, fetch }) => {
    const url = new URL("/pay?a=1", job.secret("ADDRESS"));
    url.searchParams.set("b", "x y");
    const res = await fetch(url, { method: "post", headers: { Authorization: "Bearer " + key },
      body: new URLSearchParams({ amount: String(5), currency: "eur" }) });
    const { status, ok, headers } = res;
    const sent = await res.json();
    const raw = await fetch(url.origin, { method: "PUT", body: new TextEncoder().encode("ü") });
    const bytes = new Uint8Array(await raw.arrayBuffer());
    return { status, ok, answer: headers.get("x-answer"), sent,
      bytes: JSON.parse(new TextDecoder().decode(bytes)).body, base: btoa("a\u00ff") + atob("YQ==") };
  });`)
	steps.Secrets["ADDRESS"] = server.URL
	steps.Client = server.Client()
	out, err := Runner{}.RunJob(t.Context(), p, run, steps)
	if err != nil {
		t.Fatal(err, fault.From(err).Cause)
	}
	want := `{"status":402,"ok":false,"answer":"yes","sent":{"method":"POST",` +
		`"type":"application/x-www-form-urlencoded;charset=UTF-8","auth":"Bearer job1.ask",` +
		`"body":"amount=5&currency=eur","query":"a=1&b=x+y"},"bytes":"ü","base":"Yf8=a"}`
	if got := string(value.AppendJSON(nil, out)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for path, want := range map[string]string{"/big": "has more than 1048576 bytes", "/slow": "deadline"} {
		p, steps, run := job(t, `await job.step("a", async ({ fetch }) => { await fetch("`+server.URL+path+`"); });`)
		steps.Client, steps.Time = server.Client(), 100*time.Millisecond
		if path == "/big" {
			steps.Time = 0
		}
		_, err := Runner{}.RunJob(t.Context(), p, run, steps)
		if !strings.Contains(fmt.Sprint(fault.From(err).Cause), want) {
			t.Errorf("%s: got %v %v, want %s", path, err, fault.From(err).Cause, want)
		}
	}
}

func TestJobsAreBounded(t *testing.T) {
	for name, body := range map[string]string{
		"outside":       `for (;;) {}`,
		"in a step":     `await job.step("a", () => { for (;;) {} });`,
		"after a step":  `await job.step("a", () => 1); for (;;) {}`,
		"of a callback": `await job.step("a", () => 1).then(() => { for (;;) {} });`,
		"memory":        `const all = []; for (;;) all.push("x".repeat(1000) + all.length);`,
	} {
		t.Run(name, func(t *testing.T) {
			p, steps, run := job(t, body)
			run.Bounds.Time = 100 * time.Millisecond
			if name == "memory" {
				run.Bounds.Time = 10 * time.Second
			}
			_, err := Runner{}.RunJob(t.Context(), p, run, steps)
			if !fault.Is(err, fault.Timeout) {
				t.Errorf("got %v, want a timeout", err)
			}
		})
	}
	// A job may take longer than its bound, if each of its parts does not.
	p, steps, run := job(t, `
  for (let i = 0; i < 7; i++) await job.step("s" + i, async ({ fetch }) => (await fetch("http://x.example")).status);`)
	run.Bounds.Time = 2 * time.Second
	steps.Client = &http.Client{Transport: slow(300 * time.Millisecond)}
	if _, err := (Runner{}).RunJob(t.Context(), p, run, steps); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p, steps, run = job(t, `await job.step("a", () => { job.progress(1, 1); for (;;) {} });`)
	run.Bounds.Time = time.Minute
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := (Runner{}).RunJob(ctx, p, run, steps); !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v", err)
	}
}

// slow answers after a time.
type slow time.Duration

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	<-time.After(time.Duration(s))
	return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
}

// ending are steps whose commit ends what ran in it, and takes its time.
type ending struct{ *actiontest.Steps }

// Transaction implements action.Steps.
func (e ending) Transaction(ctx context.Context, name string,
	run func(context.Context, action.Host) (value.Value, error)) (value.Value, error) {
	inner, end := context.WithCancel(ctx)
	out, err := e.Steps.Transaction(inner, name, run)
	end()
	<-time.After(10 * watchEvery)
	return out, err
}

func TestJobOutlivesWhatRanInItsTransaction(t *testing.T) {
	p, steps, run := job(t, `
  const n = await job.transaction("credit", (tx) => tx.db.users.count());
  return n + 1;`)
	out, err := Runner{}.RunJob(t.Context(), p, run, ending{steps})
	if err != nil || string(value.AppendJSON(nil, out)) != "1" {
		t.Errorf("got %v, %v", out, err)
	}
}
