package serve

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
)

// hooked is an app with a webhook, whose code makes a record of each event and refuses
// a refund before its payment.
const hooked = `app: hooked
secrets: [HOOK_SECRET]
collections:
  payments:
    fields:
      event:    {type: string, unique: true}
      refunded: {type: bool, default: false}
    check:
      too_much: record.event != "evt_bad"
    allow: {read: true}
errors:
  too_early: There is no such payment yet.
  too_much: That is too much.
webhooks:
  stripe: {verify: stripe, secret: HOOK_SECRET}
-- webhooks/stripe.ts --
import { webhook, refuse } from "galley";
export default webhook("stripe", async (tx, event) => {
  const body = event.body as any;
  if (event.id !== body.id || event.raw.indexOf(body.id) < 0 || !event.headers["stripe-signature"]) {
    throw new Error("the event is not whole");
  }
  if (body.type === "refund") {
    const found = await tx.db.payments.first({ event: body.of });
    if (!found) throw refuse("too_early");
    await tx.db.payments.update(found, { refunded: true });
    return;
  }
  if (body.type === "bug") throw new Error("a bug");
  await tx.db.payments.insert({ event: body.id });
});
`

// signed sends an event to a node as its sender would.
func (x *nodes) signed(secret, body string, at time.Time) (reply, error) {
	r, err := http.NewRequestWithContext(x.t.Context(), http.MethodPost, x.proxy.URL+"/hooks/stripe",
		strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	stamp := fmt.Sprint(at.Unix())
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "." + body))
	r.Header.Set("Stripe-Signature", "t="+stamp+",v1="+hex.EncodeToString(mac.Sum(nil)))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(text)}, err
}

func TestAnEventIsTakenOnce(t *testing.T) { onEach(t, anEventIsTakenOnce) }

func anEventIsTakenOnce(t *testing.T, join joining) {
	const secret = "marked-hook-secret"
	t.Setenv("HOOK_SECRET", secret)
	x := openNodes(t, join, 2, hooked)
	now := time.Now()
	take := func(status int, body string) reply {
		t.Helper()
		r, err := x.signed(secret, body, now)
		if err != nil || r.status != status {
			t.Fatalf("%s: got %d %s, %v, want %d\n%s", body, r.status, r.body, err, status, x.log)
		}
		return r
	}
	// Sent ten times at once, to both nodes.
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for {
				r, err := x.signed(secret, `{"id":"evt_1","type":"charge"}`, now)
				if err == nil && r.status == 409 && strings.Contains(r.body, "in_progress") {
					continue // as its sender would, later
				}
				if err != nil || r.status != 200 || r.body != "" {
					t.Errorf("got %d %s, %v\n%s", r.status, r.body, err, x.log)
				}
				return
			}
		})
	}
	wg.Wait()
	if r := take(200, `{"id":"evt_1","type":"charge","again":true}`); r.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a repetition is not told as one: %v", r.header)
	}
	payments := func(want int, part string) {
		t.Helper()
		r := x.ask(x.proxy.URL, "GET", "/api/payments", "", "", "")
		if n := strings.Count(r.body, `"event":`); n != want || !strings.Contains(r.body, part) {
			t.Errorf("there are %d payments, want %d: %s", n, want, r.body)
		}
	}
	payments(1, `"refunded":false`)

	// A refund that comes before its payment is refused, and taken when it is sent again.
	early := `{"id":"evt_2","type":"refund","of":"evt_3"}`
	if r := take(409, early); !strings.Contains(r.body, "too_early") {
		t.Errorf("got %s", r.body)
	}
	take(200, `{"id":"evt_3","type":"charge"}`)
	take(200, early)
	payments(2, `"refunded":true`)
	take(409, `{"id":"evt_bad","type":"charge"}`) // a check holds for it too
	take(500, `{"id":"evt_5","type":"bug"}`)
	payments(2, "")

	// What is not signed, or not whole, comes nowhere near the code.
	for name, c := range map[string]struct {
		secret, body string
		at           time.Time
		status       int
	}{
		"another secret": {"another-secret", `{"id":"evt_9","type":"charge"}`, now, 401},
		"an old one":     {secret, `{"id":"evt_9","type":"charge"}`, now.Add(-6 * time.Minute), 401},
		"no id":          {secret, `{"type":"charge"}`, now, 400},
		"an object":      {secret, `{"id":{},"type":"charge"}`, now, 400},
		"no JSON":        {secret, `{"id":`, now, 400},
		"an empty one":   {secret, ``, now, 400},
		"a large one":    {secret, `{"id":"` + strings.Repeat("x", 1<<20) + `"}`, now, 413},
	} {
		if r, err := x.signed(c.secret, c.body, c.at); err != nil || r.status != c.status {
			t.Errorf("%s: got %d %s, %v, want %d", name, r.status, r.body, err, c.status)
		}
	}
	x.want("a GET", x.ask(x.proxy.URL, "GET", "/hooks/stripe", "", "", ""), 405)
	x.want("another name", x.ask(x.proxy.URL, "POST", "/hooks/other", "", "", "{}"), 404)
	x.want("a path", x.ask(x.proxy.URL, "POST", "/hooks/stripe/x", "", "", "{}"), 404)
	payments(2, "")

	// The journal says who did it, and nothing says the secret.
	entries, err := x.all[0].store.Entries(t.Context(), store.Filter{}, journal.Seq{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var took []string
	for _, e := range entries {
		if strings.HasPrefix(e.Origin.Operation, "webhooks.") {
			took = append(took, e.Origin.Subject.String()+" "+e.Origin.Key)
		}
	}
	if len(took) != 3 || took[len(took)-1] != "system/webhook:stripe evt_1" {
		t.Errorf("the journal has %v", took)
	}
	if strings.Contains(x.log.String(), secret) {
		t.Error("the log holds the secret")
	}
}

// waiting is an app with a job that waits for an event.
const waiting = `app: waiting
secrets: [HOOK_SECRET]
collections:
  notes: {fields: {text: string}, allow: {read: true}}
actions:
  begin: {allow: true, idempotency: optional}
jobs:
  wait: {}
webhooks:
  stripe: {verify: stripe, secret: HOOK_SECRET}
-- actions/begin.ts --
import { action } from "galley";
export default action("begin", async (tx) => { tx.jobs.wait(); });
-- jobs/wait.ts --
import { job } from "galley";
export default job("wait", async (job) => {
  const event = await job.wait("webhook:stripe", { timeout: "1h" });
  await job.transaction("note", async (tx) => {
    await tx.db.notes.insert({ text: event.id + " " + event.body.n });
  });
});
-- webhooks/stripe.ts --
import { webhook } from "galley";
export default webhook("stripe", async () => {});
`

func TestAJobThatWaitsForAnEventGoesOn(t *testing.T) {
	const secret = "marked-hook-secret"
	t.Setenv("HOOK_SECRET", secret)
	s, _, _ := open(t, waiting, nil)
	door := httptest.NewServer(s.Handler())
	defer door.Close()
	x := &nodes{t: t, proxy: door, log: &logs{}}
	x.want("begin", x.ask(door.URL, "POST", "/api/actions/begin", "", "", "{}"), 204)
	waitFor(t, "the job waits", func() bool {
		all, err := s.jobs.List(t.Context(), "waiting", "wait", "", 10)
		if err != nil || len(all) != 1 {
			return false
		}
		one, err := s.jobs.Show(t.Context(), all[0].ID)
		return err == nil && len(one.Steps) == 1
	})
	if r, err := x.signed(secret, `{"id":"evt_1","n":7}`, time.Now()); err != nil || r.status != 200 {
		t.Fatalf("got %d %s, %v", r.status, r.body, err)
	}
	waitFor(t, "the job goes on", func() bool {
		return strings.Contains(x.ask(door.URL, "GET", "/api/notes", "", "", "").body, `"evt_1 7"`)
	})
}
