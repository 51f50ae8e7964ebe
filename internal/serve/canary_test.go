package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/follow/delivery"
	"github.com/galleybackend/galley/internal/follow/job"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/transfer"
)

// leaky is an app that lets its secret slip wherever it can. OTHER stands for the address
// of another server, which tells back what it is told.
const leaky = `app: leaky
secrets: [CANARY, HOOK_SECRET]
collections:
  notes: {fields: {text: string}}
errors:
  no: No.
actions:
  begin: {allow: true, input: {how: string}, idempotency: optional}
jobs:
  leak: {input: {how: string}, retry: 0}
webhooks:
  stripe: {verify: stripe, secret: HOOK_SECRET}
proxies:
  echo:
    url: OTHER
    routes: [GET /echo, GET /fail]
    headers: {Authorization: "Bearer ${CANARY}"}
    allow: true
deliveries:
  partner: {on: notes.created, to: OTHER/fail, secret: CANARY, retry: 0}
-- actions/begin.ts --
import { action } from "galley";
export default action("begin", async (tx, { how }) => {
  if (how === "note") await tx.db.notes.insert({ text: "a note" });
  else tx.jobs.leak({ how });
});
-- jobs/leak.ts --
import { job, fail, refuse } from "galley";
export default job("leak", async (job, { how }) => {
  const secret = job.secret("CANARY");
  job.log("a line", { secret, nested: { secret: [secret] } });
  job.log("with " + secret + " in it");
  switch (how) {
    case "throw": throw new Error("thrown " + secret);
    case "fail": throw fail("no", { secret });
    case "panic": return (null as any)[secret].x;
    case "step": await job.step("s-" + how, async () => { throw new Error("step " + secret); });
    case "transaction": await job.transaction("t", async () => { throw refuse("no", { secret }); });
    case "fetch": await job.step("f", async ({ fetch }) => {
      await fetch("http://10.255.255.1/" + secret, { headers: { Authorization: secret } });
    });
  }
});
-- webhooks/stripe.ts --
import { webhook } from "galley";
export default webhook("stripe", async (tx, event) => {
  throw new Error("the webhook failed with " + event.headers["x-canary"]);
});
`

// TestNoSecretIsTold lets a marked secret slip on every way, and looks for it wherever
// something is kept or told.
func TestNoSecretIsTold(t *testing.T) {
	const canary = `marked_"canary"/7f+3a=9<c>&de`
	const hookSecret = "marked-hook-secret-0123"
	t.Setenv("CANARY", canary)
	t.Setenv("HOOK_SECRET", hookSecret)
	t.Setenv(config.PrivateEnv, "127.0.0.0/8")
	asked := make(chan string, 100)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		asked <- r.Method + " " + r.Header.Get("Authorization") + r.Header.Get("Webhook-Signature")
		w.Header().Set("Etag", r.Header.Get("Authorization"))
		if r.URL.Path == "/fail" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprintf(w, "you said %v %s %s", r.Header, r.URL, text)
	}))
	defer other.Close()

	log, calls, terminal := &logs{}, &logs{}, &logs{}
	var answers strings.Builder
	s, dir, end := open(t, strings.ReplaceAll(leaky, "OTHER", other.URL), func(c *Config) {
		c.Log = slog.New(slog.NewJSONHandler(log, nil))
		c.Calls, c.Terminal = calls, observe.NewTerminal(terminal, false)
	})
	door := httptest.NewServer(s.Handler())
	defer door.Close()
	local := httptest.NewServer(s.local())
	defer local.Close()
	ask := func(method, url, body string, headers ...string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&answers, "%s %s: %d %v %s\n", method, url, res.StatusCode, res.Header, text)
		return res.StatusCode
	}

	if got := ask("GET", door.URL+"/api/proxy/echo/echo", ""); got != 502 {
		t.Errorf("an echo is answered with %d", got)
	}
	if got := ask("GET", door.URL+"/api/proxy/echo/fail", ""); got != 502 {
		t.Errorf("a failure is answered with %d", got)
	}
	ways := []string{"throw", "fail", "panic", "step", "transaction", "fetch"}
	for _, how := range append(ways, "note") {
		if got := ask("POST", door.URL+"/api/actions/begin", `{"how":"`+how+`"}`); got != 204 {
			t.Errorf("%s: %d", how, got)
		}
	}
	x := &nodes{t: t, proxy: door}
	if r, err := x.signed(hookSecret, `{"id":"evt_1"}`, time.Now()); err != nil || r.status != 500 {
		t.Errorf("the webhook: %d %s, %v", r.status, r.body, err)
	} else {
		fmt.Fprintln(&answers, r)
	}
	waitFor(t, "the jobs fail", func() bool {
		all, err := s.jobs.List(t.Context(), job.Failed, "leak", "", 100)
		return err == nil && len(all) == len(ways)
	})
	waitFor(t, "the delivery fails", func() bool {
		all, err := s.deliveries.List(t.Context(), delivery.Failed, "", "", 100)
		return err == nil && len(all) == 1
	})
	for _, path := range []string{"/local/jobs", "/local/deliveries", "/local/journal", "/local/followers"} {
		ask("GET", local.URL+path, "")
	}
	var exported bytes.Buffer
	if err := transfer.Journal(t.Context(), s.store, &exported); err != nil {
		t.Fatal(err)
	}
	entries, err := s.store.Entries(t.Context(), store.Filter{}, journal.Seq{}, 100)
	if err != nil || len(entries) < 8 {
		t.Errorf("the journal has %d entries, %v", len(entries), err)
	}
	end() // everything is written

	// The control: the secret went where it should, and nowhere else.
	close(asked)
	bearer, signed := 0, 0
	for a := range asked {
		if strings.Contains(a, "Bearer "+canary) {
			bearer++
		}
		if strings.Contains(a, "POST v1,") {
			signed++
		}
	}
	if bearer != 2 || signed != 1 {
		t.Errorf("the other side was told the secret %d times and signed %d times", bearer, signed)
	}
	mask := &observe.Mask{}
	mask.Set(map[string]string{"CANARY": canary, "HOOK_SECRET": hookSecret})
	look := func(where string, text []byte) {
		if !mask.Holds(text) && !bytes.Contains(text, []byte(`canary`)) {
			return
		}
		i := bytes.Index(text, []byte("canary"))
		t.Errorf("%s holds a secret: …%s…", where, text[max(0, i-200):min(len(text), max(i, 0)+100)])
	}
	look("an answer", []byte(answers.String()))
	look("the log", []byte(log.String()))
	look("the log of calls", []byte(calls.String()))
	look("the terminal", []byte(terminal.String()))
	look("the journal", exported.Bytes())
	files := 0
	err = filepath.WalkDir(filepath.Join(dir, "data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		look(path, text)
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files were looked at, %v", files, err)
	}
	if said := log.String(); strings.Count(said, "[CANARY]") < 2*len(ways) {
		t.Errorf("the log does not tell of the secrets by their names: %s", said)
	}
	if _, err := json.Marshal(answers.String()); err != nil {
		t.Error(err)
	}
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	for !is() {
		poll := time.NewTimer(10 * time.Millisecond)
		select {
		case <-poll.C:
		case <-late:
			t.Fatal(what)
		}
	}
}
