package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var testKeys = Keys{"of-the-payments", "of-the-webhooks", "of-the-parcels"}

// open starts a provider, and a shop that hears of payments and refuses so many times.
func open(t *testing.T, o Options, refusals int) (address string, heard func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || !strings.Contains(r.Header.Get("Stripe-Signature"), ",v1=") {
			t.Errorf("an event came as %v: %v", r.Header, err)
		}
		var e struct{ ID, Type string }
		if err := json.Unmarshal(body, &e); err != nil {
			t.Error(err)
		}
		if all = append(all, e.Type+" "+e.ID); refusals > 0 {
			refusals--
			w.WriteHeader(http.StatusConflict)
		}
	}))
	t.Cleanup(shop.Close)
	o.Keys, o.Hook = testKeys, shop.URL
	p := New(o)
	server := httptest.NewServer(p)
	t.Cleanup(func() { p.Close(); server.Close() })
	return server.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), all...)
	}
}

// pay asks for a payment and returns the answer; status 0 is none.
func pay(t *testing.T, address, key, card string, amount string) (int, string) {
	t.Helper()
	form := url.Values{"amount": {amount}, "payment_method": {card}, "confirm": {"true"},
		"currency": {"gbp"}, "metadata[user]": {"ana"}}
	return ask(t, http.MethodPost, address+"/v1/payment_intents", key, form)
}

func ask(t *testing.T, method, address, key string, form url.Values) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+testKeys.Payment)
	req.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// audit reads the ledger.
func audit(t *testing.T, address string) (l Ledger) {
	t.Helper()
	status, body := ask(t, http.MethodGet, address+"/ledger", "", nil)
	if err := json.Unmarshal([]byte(body), &l); err != nil || status != 200 {
		t.Fatalf("the ledger: %d %s %v", status, body, err)
	}
	return l
}

func TestOneKeyIsOnePayment(t *testing.T) {
	address, _ := open(t, Options{}, 0)
	_, first := pay(t, address, "k1", cardGood, "500")
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if status, body := pay(t, address, "k1", cardGood, "500"); status != 200 || body != first {
				t.Errorf("again: %d %s, first %s", status, body, first)
			}
		})
	}
	group.Wait()
	for want, args := range map[int][3]string{400: {"k1", cardGood, "501"}, 402: {"k2", "pm_card_declined", "500"},
		200: {"k3", cardGood, "700"}} {
		for range 2 {
			if got, body := pay(t, address, args[0], args[1], args[2]); got != want {
				t.Errorf("%v: %d %s, want %d", args, got, body, want)
			}
		}
	}
	for i, want := range []int{503, 503, 200, 200} {
		if got, _ := pay(t, address, "k4", cardFlaky, "900"); got != want {
			t.Errorf("try %d of a flaky card: %d, want %d", i, got, want)
		}
	}
	l := audit(t, address)
	if len(l.Payments) != 3 || l.Declined != 1 || l.Payments[0].Metadata["user"] != "ana" {
		t.Errorf("the ledger is %+v", l)
	}
}

func TestTroubleNeverChargesTwice(t *testing.T) {
	address, _ := open(t, Options{Trouble: 0.8, Hang: time.Millisecond}, 0)
	seen := map[int]bool{}
	for i := range 20 {
		key := string(rune('a' + i))
		for status := -1; status != 200; {
			status, _ = pay(t, address, key, cardGood, "500")
			seen[status] = true
		}
	}
	if l := audit(t, address); len(l.Payments) != 20 || !seen[0] || !seen[503] {
		t.Errorf("%d payments, answers %v", len(l.Payments), seen)
	}
}

func TestEventsComeTwiceAndUntilTheyAreHeard(t *testing.T) {
	address, heard := open(t, Options{Refunds: 1}, 3)
	if status, body := pay(t, address, "k1", cardGood, "500"); status != 200 {
		t.Fatal(status, body)
	}
	patience := time.After(time.Minute)
	for {
		l := audit(t, address)
		p := l.Payments[0]
		if !p.Refunded || len(p.Events) != 2 {
			t.Fatalf("the payment is %+v", p)
		}
		if p.Events[0].Arrived && p.Events[1].Arrived && p.Events[0].Sent > 1 && p.Events[1].Sent > 1 {
			break
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-patience:
			t.Fatalf("%+v", p.Events)
		}
	}
	count := map[string]int{}
	for _, e := range heard() {
		count[e]++
	}
	if len(count) != 2 || len(heard()) < 5 {
		t.Errorf("heard %v", count)
	}
}

func TestNobodyComesInWithoutTheKey(t *testing.T) {
	address, _ := open(t, Options{}, 0)
	// The carrier has a key of its own.
	if status, body := ask(t, http.MethodGet, address+"/v2/rates?to=DE", "", nil); status != 401 {
		t.Errorf("%d %s", status, body)
	}
}

func TestWhatRunsBesideItIsAskedToEnd(t *testing.T) {
	if code, err := beside(t.Context(), []string{"sh", "-c", "exit 7"}); code != 7 || err != nil {
		t.Errorf("code %d, %v", code, err)
	}
	if code, err := beside(t.Context(), []string{"there-is-no-such-command"}); code == 0 || err == nil {
		t.Errorf("code %d, %v", code, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	listens := filepath.Join(t.TempDir(), "listens")
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(listens); err == nil {
				cancel()
			}
			<-time.After(time.Millisecond)
		}
	}()
	code, err := beside(ctx, []string{"sh", "-c",
		"trap 'exit 0' TERM; : > " + listens + "; while :; do sleep 0.02; done"})
	if code != 0 || err != nil {
		t.Errorf("code %d, %v", code, err)
	}
}
