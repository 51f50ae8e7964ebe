package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/galleybackend/galley/internal/do/retail"
	"github.com/galleybackend/galley/internal/ident"
)

// What a call may need before it has an answer: askTries times it may hear that the same
// call is still running, and waits askPause in between.
const (
	askTries = 200
	askPause = 10 * time.Millisecond
	askTime  = 30 * time.Second
	saidMax  = 8 << 20
)

// caller keeps enough connections open that no worker has to wait for one.
func caller() *http.Client {
	return &http.Client{
		Timeout:   askTime,
		Transport: &http.Transport{MaxIdleConnsPerHost: 2 * replayWorkers},
	}
}

// An answer is what the shop said to one call.
type answer struct {
	status   int
	body     []byte
	replayed bool
}

// A request is one call to the shop.
type request struct {
	method, url, token, key string
	body                    any
}

func ask(ctx context.Context, client *http.Client, r request) (answer, error) {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return answer{}, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return answer{}, err
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, saidMax))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return answer{}, err
	}
	replayed := res.Header.Get("Idempotent-Replayed") == "true"
	return answer{res.StatusCode, text, replayed}, nil
}

// askFor asks until there is an answer of status 200 and reads it into out.
func askFor(ctx context.Context, client *http.Client, r request, out any) (answer, error) {
	for range askTries {
		said, err := ask(ctx, client, r)
		if err != nil {
			return said, err
		}
		if said.status == http.StatusConflict && said.code() == "in_progress" {
			select {
			case <-time.After(askPause):
				continue
			case <-ctx.Done():
				return said, ctx.Err()
			}
		}
		if said.status != http.StatusOK {
			return said, fmt.Errorf("%s %s: %d %s", r.method, r.url, said.status, said.body)
		}
		return said, json.Unmarshal(said.body, out)
	}
	return answer{}, fmt.Errorf("%s %s: no answer after %d tries", r.method, r.url, askTries)
}

func (a answer) code() string {
	var problem struct{ Code string }
	_ = json.Unmarshal(a.body, &problem) // an answer without a code has none
	return problem.Code
}

// signIn opens a session for every customer.
func (w *world) signIn(ctx context.Context, address string) error {
	client := caller()
	defer client.CloseIdleConnections()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(replayWorkers)
	var mu sync.Mutex
	for _, c := range w.orders.Customers {
		group.Go(func() error {
			var session struct{ Token string }
			_, err := askFor(ctx, client, request{
				method: http.MethodPost, url: address + "/api/auth/sign-in",
				body: map[string]any{
					"email": email(c), "password": customerPassword, "token": true,
				},
			}, &session)
			if err != nil {
				return fmt.Errorf("customer %s: %w", c, err)
			}
			mu.Lock()
			defer mu.Unlock()
			w.token[c] = session.Token
			return nil
		})
	}
	return group.Wait()
}

// send sends every invoice twice under one key: every other one at the same moment, the rest
// one after the other. Both answers must be equal, and exactly one of them a replay.
func (w *world) send(ctx context.Context, address string) error {
	client := caller()
	defer client.CloseIdleConnections()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(replayWorkers)
	var mu sync.Mutex
	var done atomic.Int64
	stop := progress(&done, len(w.orders.Invoices))
	for i, invoice := range w.orders.Invoices {
		group.Go(func() error {
			order, err := w.sendTwice(ctx, client, address, invoice, i%2 == 0)
			if err != nil {
				return fmt.Errorf("invoice %s: %w", invoice.Number, err)
			}
			done.Add(1)
			mu.Lock()
			defer mu.Unlock()
			w.placed[invoice.Number] = order.Order
			w.balances[invoice.Customer] = append(w.balances[invoice.Customer], order.Balance)
			return nil
		})
	}
	defer stop()
	return group.Wait()
}

// An orderPlaced is what checkout answers.
type orderPlaced struct {
	Order   ident.Record `json:"order"`
	Balance int64        `json:"balance"`
}

func (w *world) sendTwice(ctx context.Context, client *http.Client, address string,
	invoice retail.Invoice, together bool) (orderPlaced, error) {
	type item struct {
		Product  ident.Record `json:"product"`
		Quantity int64        `json:"quantity"`
	}
	var items []item
	for _, i := range invoice.Items {
		items = append(items, item{w.product[i.Article], i.Quantity})
	}
	call := request{
		method: http.MethodPost, url: address + "/api/actions/checkout",
		token: w.token[invoice.Customer], key: invoiceKey(invoice.Number),
		body: map[string]any{"items": items},
	}
	var answers [2]answer
	var orders [2]orderPlaced
	group, ctx := errgroup.WithContext(ctx)
	if !together {
		group.SetLimit(1)
	}
	for i := range answers {
		group.Go(func() (err error) {
			answers[i], err = askFor(ctx, client, call, &orders[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return orderPlaced{}, err
	}
	switch {
	case !bytes.Equal(answers[0].body, answers[1].body):
		return orderPlaced{}, fmt.Errorf("two answers under one key: %s and %s",
			answers[0].body, answers[1].body)
	case answers[0].replayed == answers[1].replayed:
		return orderPlaced{}, fmt.Errorf("of two calls under one key, not exactly one was "+
			"marked as replayed: %t and %t", answers[0].replayed, answers[1].replayed)
	}
	return orders[0], nil
}

func invoiceKey(number string) string { return "invoice-" + number }

// progress prints once a second how far the work is, until it is stopped.
func progress(done *atomic.Int64, all int) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	started := time.Now()
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				n := done.Load()
				say("%4d of %d invoices, %.0f calls/s", n, all,
					float64(2*n)/time.Since(started).Seconds())
			}
		}
	}()
	return func() { close(quit); <-ended }
}
