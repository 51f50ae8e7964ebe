package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// spread is how far the two sendings of an event lie apart at most, and from what
	// happened, so that events overtake each other.
	spread = 600 * time.Millisecond
	// againFirst and againMost are how long it waits before it sends again what was not
	// taken: twice as long each time.
	againFirst = 200 * time.Millisecond
	againMost  = 4 * time.Second
	// atOnce is how many sendings are under way, hookTime how long one may take.
	atOnce   = 16
	hookTime = 10 * time.Second
)

// Event is something that it tells, and how far it got.
type Event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	// Sent counts the sendings, Status and Said are the last answer: of one that took it,
	// once there was one.
	Sent    int    `json:"sent"`
	Arrived bool   `json:"arrived"`
	Status  int    `json:"status"`
	Said    string `json:"said,omitempty"`

	payment string
	body    []byte
}

// hooks tells the shop what happened: everything twice, in no order, and until it is heard.
type hooks struct {
	url, key string
	client   *http.Client
	places   chan struct{}
	ctx      context.Context
	end      context.CancelFunc
	sending  sync.WaitGroup

	mu  sync.Mutex
	all []*Event
}

func newHooks(url, key string) *hooks {
	h := &hooks{url: url, key: key, client: &http.Client{Timeout: hookTime},
		places: make(chan struct{}, atOnce)}
	h.ctx, h.end = context.WithCancel(context.Background())
	return h
}

func (h *hooks) close() {
	h.end()
	h.sending.Wait()
	h.client.CloseIdleConnections()
}

// tell sends an event about a payment, soon.
func (h *hooks) tell(kind, payment string, object any) {
	e := &Event{ID: name("evt_"), Type: kind, payment: payment}
	e.body = text(map[string]any{"id": e.ID, "type": kind, "created": time.Now().Unix(),
		"data": map[string]any{"object": object}})
	h.mu.Lock()
	h.all = append(h.all, e)
	h.mu.Unlock()
	h.sending.Go(func() {
		for again := againFirst; h.wait(rand.N(spread)) && !h.send(e); again = min(2*again, againMost) {
			if !h.wait(again) {
				return
			}
		}
	})
	h.sending.Go(func() {
		if h.wait(rand.N(spread)) {
			h.send(e)
		}
	})
}

// wait waits, and reports whether it goes on.
func (h *hooks) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-h.ctx.Done():
		return false
	}
}

// send sends an event once, signed as Stripe signs, and reports whether it was taken.
func (h *hooks) send(e *Event) bool {
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	case <-h.ctx.Done():
		return false
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(h.key))
	fmt.Fprintf(mac, "%s.%s", stamp, e.body)
	req, err := http.NewRequestWithContext(h.ctx, http.MethodPost, h.url, bytes.NewReader(e.body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Stripe-Signature", "t="+stamp+",v1="+hex.EncodeToString(mac.Sum(nil)))
	status, said := 0, ""
	res, err := h.client.Do(req)
	if err == nil {
		var text []byte
		text, err = io.ReadAll(io.LimitReader(res.Body, 2000))
		_ = res.Body.Close() // it was read as far as it is of interest
		status, said = res.StatusCode, string(text)
	}
	if err != nil {
		status, said = 0, err.Error()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Sent++
	taken := status >= 200 && status < 300
	if taken || !e.Arrived {
		e.Status, e.Said = status, said
	}
	e.Arrived = e.Arrived || taken
	return taken
}

// events returns what was told, by payment.
func (h *hooks) events() map[string][]Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string][]Event{}
	for _, e := range h.all {
		out[e.payment] = append(out[e.payment], *e)
	}
	return out
}
