package main

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The cards that it knows. Any other is declined.
const (
	cardGood = "pm_card_visa"
	// cardFlaky is a good one whose bank answers at the third try.
	cardFlaky = "pm_card_flaky"
)

// Options say how a Provider behaves.
type Options struct {
	Keys Keys
	// Hook is whom it tells of payments.
	Hook string
	// Trouble is the share of payments that go wrong, Refunds that of those that go back by
	// themselves, as when a card was stolen.
	Trouble, Refunds float64
	// Hang is how long it says nothing where it hangs.
	Hang time.Duration
}

// Payment is a card that was charged.
type Payment struct {
	ID       string `json:"id"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	Status   string `json:"status"`
	Card     string `json:"payment_method"`
	// Metadata is what the shop said of it.
	Metadata map[string]string `json:"metadata"`
	Key      string            `json:"-"`
	Refunded bool              `json:"-"`
}

// Provider charges cards and tells of it. It is safe for concurrent use.
type Provider struct {
	mux   *http.ServeMux
	hooks *hooks

	mu       sync.Mutex
	options  Options
	payments []*Payment
	// known are the answers by their keys, tries how often each was asked for, and declined
	// how many cards were.
	known    map[string]*known
	tries    map[string]int
	declined int
	asked    int
}

// known is a request whose key is known, and its answer once there is one.
type known struct {
	form   string
	status int
	body   []byte
}

// New returns a provider that has charged nobody.
func New(o Options) *Provider {
	p := &Provider{mux: http.NewServeMux(), options: o, known: map[string]*known{},
		tries: map[string]int{}, hooks: newHooks(o.Hook, o.Keys.Webhook)}
	p.mux.HandleFunc("POST /v1/payment_intents", p.open(o.Keys.Payment, p.charge))
	p.mux.HandleFunc("POST /v1/refunds", p.open(o.Keys.Payment, p.refund))
	p.mux.HandleFunc("GET /v2/rates", p.open(o.Keys.Shipping, rates))
	p.mux.HandleFunc("GET /ledger", p.open(o.Keys.Payment, p.ledger))
	p.mux.HandleFunc("POST /trouble", p.open(o.Keys.Payment, p.trouble))
	return p
}

// Close ends what it still has to tell.
func (p *Provider) Close() { p.hooks.close() }

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	p.mux.ServeHTTP(w, r)
}

// open lets those in who have the key.
func (p *Provider) open(key string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		got, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(got), []byte(key)) != 1 {
			refuse(w, http.StatusUnauthorized, "authentication_required", "This is not the key.")
			return
		}
		next(w, r)
	}
}

// How a request goes wrong.
const (
	fine = iota
	// answers503 does nothing and says so, hangs says nothing either.
	answers503
	hangs
	// chargesAnd503 does everything and says that it did not, chargesAndHangs and
	// chargesAndBreaks leave the other side without an answer.
	chargesAnd503
	chargesAndHangs
	chargesAndBreaks
	ways
)

// fate draws how a request goes wrong.
func (p *Provider) fate() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if rand.Float64() >= p.options.Trouble {
		return fine
	}
	return 1 + rand.IntN(ways-1)
}

// charge charges a card, once for each key.
func (p *Provider) charge(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "parameter_invalid", "The body is no form.")
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		refuse(w, http.StatusBadRequest, "idempotency_key_missing", "A payment needs a key.")
		return
	}
	fate := p.fate()
	switch fate {
	case answers503:
		refuse(w, http.StatusServiceUnavailable, "unavailable", "Come back later.")
		return
	case hangs:
		p.hang(r)
	}
	status, body := p.once(key, r.PostForm)
	switch fate {
	case chargesAnd503:
		refuse(w, http.StatusServiceUnavailable, "unavailable", "Come back later.")
	case chargesAndHangs:
		p.hang(r)
	case chargesAndBreaks:
		panic(http.ErrAbortHandler)
	default:
		answer(w, status, body)
	}
}

// hang says nothing for a while and breaks off.
func (p *Provider) hang(r *http.Request) {
	timer := time.NewTimer(p.options.Hang)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
	panic(http.ErrAbortHandler)
}

// once returns the answer to a request: that of the first with its key.
func (p *Provider) once(key string, form url.Values) (int, []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.known[key]; k != nil {
		if k.form != form.Encode() {
			return http.StatusBadRequest, problem("idempotency_error",
				"This key was used with other parameters.")
		}
		return k.status, k.body
	}
	p.tries[key]++
	amount, err := strconv.ParseInt(form.Get("amount"), 10, 64)
	switch card := form.Get("payment_method"); {
	case err != nil || amount < 1 || form.Get("confirm") != "true":
		return http.StatusBadRequest, problem("parameter_invalid", "amount and confirm are needed.")
	case card == cardFlaky && p.tries[key] < 3:
		return http.StatusServiceUnavailable, problem("unavailable", "The bank does not answer.")
	case card != cardGood && card != cardFlaky:
		p.declined++
		k := &known{form.Encode(), http.StatusPaymentRequired,
			problem("card_declined", "The bank said no.")}
		p.known[key] = k
		return k.status, k.body
	}
	pay := &Payment{ID: name("pi_"), Amount: amount, Currency: form.Get("currency"), Key: key,
		Status: "succeeded", Card: form.Get("payment_method"), Metadata: map[string]string{}}
	for field := range form {
		if inner, ok := strings.CutPrefix(field, "metadata["); ok {
			pay.Metadata[strings.TrimSuffix(inner, "]")] = form.Get(field)
		}
	}
	p.payments = append(p.payments, pay)
	k := &known{form.Encode(), http.StatusOK, text(pay)}
	p.known[key] = k
	p.hooks.tell("payment_intent.succeeded", pay.ID, pay)
	if rand.Float64() < p.options.Refunds {
		p.back(pay)
	}
	return k.status, k.body
}

// refund gives the money of a payment back.
func (p *Provider) refund(w http.ResponseWriter, r *http.Request) {
	id := r.PostFormValue("payment_intent")
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pay := range p.payments {
		if pay.ID == id {
			p.back(pay)
			answer(w, http.StatusOK, text(map[string]any{"payment_intent": id, "status": "succeeded"}))
			return
		}
	}
	refuse(w, http.StatusNotFound, "resource_missing", "There is no such payment.")
}

// back notes and tells that the money went back. It is called with the lock held.
func (p *Provider) back(pay *Payment) {
	if pay.Refunded {
		return
	}
	pay.Refunded = true
	p.hooks.tell("charge.refunded", pay.ID, map[string]any{"id": name("ch_"),
		"payment_intent": pay.ID, "amount_refunded": pay.Amount, "metadata": pay.Metadata})
}

// trouble changes how many requests go wrong.
func (p *Provider) trouble(w http.ResponseWriter, r *http.Request) {
	share, err := strconv.ParseFloat(r.FormValue("share"), 64)
	if err != nil {
		refuse(w, http.StatusBadRequest, "parameter_invalid", "share is a number from 0 to 1.")
		return
	}
	p.mu.Lock()
	p.options.Trouble = share
	if r.FormValue("refunds") == "0" {
		p.options.Refunds = 0
	}
	p.mu.Unlock()
	answer(w, http.StatusOK, []byte("{}"))
}

// A Row is a payment of the ledger, with what became of telling it.
type Row struct {
	ID       string            `json:"id"`
	Key      string            `json:"key"`
	Amount   int64             `json:"amount"`
	Refunded bool              `json:"refunded"`
	Metadata map[string]string `json:"metadata"`
	Events   []Event           `json:"events"`
}

// Ledger is everything that was charged, for an audit.
type Ledger struct {
	// Asked is how many requests for payments there were, Declined how many cards.
	Asked    int   `json:"asked"`
	Declined int   `json:"declined"`
	Payments []Row `json:"payments"`
}

// ledger shows everything.
func (p *Provider) ledger(w http.ResponseWriter, _ *http.Request) {
	events := p.hooks.events()
	p.mu.Lock()
	defer p.mu.Unlock()
	all := Ledger{Asked: p.asked, Declined: p.declined, Payments: []Row{}}
	for _, pay := range p.payments {
		all.Payments = append(all.Payments, Row{pay.ID, pay.Key, pay.Amount, pay.Refunded,
			pay.Metadata, events[pay.ID]})
	}
	answer(w, http.StatusOK, text(all))
}

// rates is what the carrier asks for a parcel.
func rates(w http.ResponseWriter, r *http.Request) {
	to, err := r.FormValue("to"), error(nil)
	grams := 500
	if g := r.FormValue("grams"); g != "" {
		grams, err = strconv.Atoi(g)
	}
	if len(to) != 2 || err != nil || grams < 1 || grams > 30_000 {
		refuse(w, http.StatusUnprocessableEntity, "parameter_invalid",
			"to is a country of two letters, grams a number up to 30000.")
		return
	}
	post := 320 + 45*((grams+249)/250)
	if to != "GB" {
		post = 3 * post
	}
	answer(w, http.StatusOK, text(map[string]any{"to": to, "currency": "gbp", "rates": []any{
		map[string]any{"service": "Post", "days": 4, "amount": post},
		map[string]any{"service": "Courier", "days": 1, "amount": 2*post + 150},
	}}))
}

// name makes a name that nobody has.
func name(prefix string) string { return fmt.Sprintf("%s%016x", prefix, rand.Uint64()) }

func text(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err) // everything here can be written
	}
	return out
}

func problem(code, message string) []byte {
	return text(map[string]any{"error": map[string]string{"code": code, "message": message}})
}

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // who is gone hears nothing
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, problem(code, message))
}
