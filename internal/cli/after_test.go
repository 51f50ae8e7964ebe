package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const coordinating = `app: club
secrets: [HOOK_KEY]
collections:
  bookings:
    fields: {court: string}
  notes:
    fields: {text: string}
jobs:
  prepare: {on: bookings.created, retry: 0}
emails:
  booked: {on: bookings.created, to: "'desk@example.com'"}
deliveries:
  partner: {on: bookings.created, to: TO, secret: HOOK_KEY, retry: 0}
proxies:
  partner: {url: TO, routes: [GET /rates], allow: true}
`

// coordinator is an app whose job and whose partner fail until all is well.
func coordinator(t *testing.T) (p *place, well *atomic.Bool) {
	well = &atomic.Bool{}
	partner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !well.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(partner.Close)
	p = newPlace(t, strings.ReplaceAll(coordinating, "TO", partner.URL))
	p.write("emails/booked.html", "Subject: Court {{.record.court}}\n<p>Have fun</p>\n")
	p.write("secrets.dev", "HOOK_KEY=a-secret-of-this-test\n")
	p.write("jobs/prepare.ts", `import { job } from "galley";
export default job("prepare", async (job, booking) => {
  await job.step("sweep", async () => "swept");
  const open = await job.step("ask", async ({ fetch }) => (await fetch("`+partner.URL+`")).ok);
  if (!open) throw new Error("nobody is there");
  await job.transaction("note", async (tx) => { tx.db.notes.insert({ text: booking.court }); });
});
`)
	return p, well
}

// listed runs a list until it has one line in the state, and returns its id.
func (p *place) listed(state string, list ...string) string {
	p.t.Helper()
	var last said
	for late := time.Now().Add(soon); time.Now().Before(late); {
		last = p.galley(append(list, "--state", state, "--json")...)
		var line struct{ ID string }
		if json.Unmarshal([]byte(last.out), &line) == nil && line.ID != "" {
			return line.ID
		}
	}
	p.t.Fatalf("galley %s: none is %s: %s%s", strings.Join(list, " "), state, last.out, last.err)
	return ""
}

func TestWorkAfterTheCommitIsSeenAndMended(t *testing.T) {
	p, well := coordinator(t)
	p.start("dev")
	p.want(exitDone, "", "set", "bookings", "court=one")

	job := p.listed("failed", "jobs", "list")
	p.want(exitDone, "nobody is there", "jobs", "show", job)
	p.want(exitDone, "2 step ask", "jobs", "show", job)
	p.want(exitFailed, `no step "aks". Did you mean ask?`, "jobs", "retry", job, "--from", "aks")
	p.want(exitFailed, "is failed", "jobs", "cancel", job)
	p.want(exitFailed, `no state "faild"; there are waiting, running, done, failed, cancelled. `+
		"Did you mean failed?", "jobs", "list", "--state", "faild")
	p.want(exitFailed, "from 1 to 1000", "jobs", "list", "--limit", "0")
	p.want(exitFailed, "There is no job nothing.", "jobs", "show", "nothing")
	p.want(exitUsage, "it is called so", "jobs", "retry")

	delivery := p.listed("failed", "deliveries", "list")
	p.want(exitDone, "bookings.created", "deliveries", "show", delivery)
	p.want(exitFailed, `no state "running"`, "deliveries", "list", "--state", "running")

	well.Store(true)
	p.want(exitDone, `prepare · from step "ask" · attempt 1 of 1 → waiting`,
		"jobs", "retry", job, "--from", "ask")
	p.listed("done", "jobs", "list")
	p.want(exitDone, "one", "get", "notes")
	p.want(exitFailed, "this one is done", "jobs", "retry", job)
	p.want(exitDone, "partner · bookings/", "deliveries", "retry", delivery)
	p.listed("done", "deliveries", "list")

	letter := p.listed("sent", "mail", "list")
	p.want(exitDone, "Court one", "mail", "show", letter)
	p.want(exitFailed, `no state "send"`, "mail", "list", "--state", "send")
	p.want(exitDone, "none", "mail", "campaigns")
	p.want(exitDone, "none", "mail", "suppressed")
	p.want(exitDone, "gets no mails", "mail", "bounce", "desk@example.com", "--why", "full")
	p.want(exitDone, "full", "mail", "suppressed")
	p.want(exitDone, "gets mails again", "mail", "lift", "desk@example.com")
}

func TestFollowersAreSeen(t *testing.T) {
	p, well := coordinator(t)
	well.Store(true)
	p.start("dev")
	p.want(exitDone, "", "set", "bookings", "court=one")
	p.listed("done", "jobs", "list")
	for _, name := range []string{"jobs", "mail", "deliveries"} {
		p.want(exitDone, name, "followers")
		p.want(exitDone, name, "followers", "list")
	}
	p.want(exitDone, "none", "followers", "parked")
	p.want(exitFailed, "No entry was set apart under 01k9.", "followers", "retry", "01k9")
	p.want(exitFailed, "No entry was set apart under 01k9.", "followers", "skip", "01k9")
	p.want(exitUsage, "Did you mean galley followers parked?", "followers", "parkd")
}

func TestWorkIsCounted(t *testing.T) {
	p, _ := coordinator(t)
	s := p.launch("dev", "--admin", "127.0.0.1:0")
	s.listens()
	_, metrics, _ := strings.Cut(s.wait("Metrics"), "http")
	p.want(exitDone, "", "set", "bookings", "court=one")
	p.listed("failed", "jobs", "list")
	p.listed("failed", "deliveries", "list")
	p.listed("sent", "mail", "list")
	if status, _ := s.get("/api/proxy/partner/rates"); status != http.StatusBadGateway {
		t.Errorf("the proxy answers %d", status)
	}
	s.address = "http" + strings.TrimSpace(strings.TrimSuffix(metrics, "/metrics"))
	for _, want := range []string{`operation="jobs.prepare",outcome="failed"`,
		`operation="deliveries.partner",outcome="failed"`, `operation="emails.booked",outcome="sent"`,
		`operation="proxies.partner",outcome="proxy_failed"`} {
		// It is counted a moment after it can be seen.
		late, text := time.Now().Add(soon), ""
		for !strings.Contains(text, "galley_work_total{"+want+"} 1\n") {
			if time.Now().After(late) {
				t.Fatalf("the metrics have no %s:\n%s", want, text)
			}
			_, text = s.get("/metrics")
		}
	}
}

func TestAMissingValueSaysWhereItMayStand(t *testing.T) {
	p, _ := coordinator(t)
	p.write("secrets.dev", "")
	p.want(exitDecision, "a line NAME=value in secrets.dev", "dev", "--once")
}
