package engine_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
)

// buyers makes people with money.
func buyers(w *world, n int) []ident.Record {
	list := make([]ident.Record, n)
	for i := range list {
		list[i] = w.create("users", fmt.Sprintf(
			`{"name":"b","email":"b%d@example.com","wallet":100000}`, i))
	}
	return list
}

func product(w *world, code string, stock int) ident.Record {
	return w.create("products", fmt.Sprintf(
		`{"code":%q,"name":"pen","price":1,"stock":%d,"listed":true}`, code, stock))
}

func checkout(who, product ident.Record, key string) engine.Call {
	return engine.Call{ID: ident.NewCall(), Verb: engine.Action, Target: "checkout", Key: key,
		Credential: string(who),
		Body:       fmt.Appendf(nil, `{"items":[{"product":%q,"quantity":1}]}`, product)}
}

func TestTheLastItemIsSoldOnce(t *testing.T) {
	w := open(t, shop(t), nil)
	people := buyers(w, 40)
	for round := range 5 {
		pen := product(w, fmt.Sprint("P", round), 1)
		var sold, refused atomic.Int64
		var wait sync.WaitGroup
		for _, who := range people {
			wait.Go(func() {
				_, err := w.engine.Execute(context.Background(),
					checkout(who, pen, fmt.Sprint("k", round)))
				switch {
				case err == nil:
					sold.Add(1)
				case fault.From(err).CodeOr() == "out_of_stock":
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if sold.Load() != 1 || refused.Load() != 39 {
			t.Fatalf("%d sold and %d refused of 1", sold.Load(), refused.Load())
		}
		if n := w.get("products", pen).Get("stock").Int(); n != 0 {
			t.Fatalf("stock is %d", n)
		}
	}
}

func TestTheSameCallAtOnceHasOneEffectAndOneAnswer(t *testing.T) {
	w := open(t, shop(t), nil)
	ana, pen := buyers(w, 1)[0], product(w, "P", 100)
	var fresh atomic.Int64
	var mu sync.Mutex
	answers := map[string]int{}
	var wait sync.WaitGroup
	for range 100 {
		wait.Go(func() {
			r, err := w.engine.Execute(context.Background(), checkout(ana, pen, "one"))
			if err != nil {
				t.Error(err)
				return
			}
			text := r.Body
			if !r.Replayed {
				fresh.Add(1)
				text = string(appendOutput(r))
			}
			mu.Lock()
			answers[text]++
			mu.Unlock()
		})
	}
	wait.Wait()
	if fresh.Load() != 1 || len(answers) != 1 {
		t.Fatalf("%d ran, answers %v", fresh.Load(), answers)
	}
	if n := w.get("products", pen).Get("stock").Int(); n != 99 {
		t.Fatalf("stock is %d", n)
	}
}

func TestOperatorsAtOnceAddUp(t *testing.T) {
	w := open(t, shop(t), nil)
	pen := product(w, "P", 0)
	var wait sync.WaitGroup
	for range 100 {
		wait.Go(func() {
			_, err := w.engine.Execute(context.Background(), engine.Call{ID: ident.NewCall(),
				Verb: engine.Update, Target: "products", Record: string(pen), Trusted: true,
				Subject: ident.Subject{Who: ident.Admin, Name: "carla"},
				Body:    []byte(`{"stock":{"$add":1}}`)})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := w.get("products", pen).Get("stock").Int(); n != 100 {
		t.Fatalf("stock is %d, want 100", n)
	}
}

func TestAppIsSwappedBetweenCallsAndNeverUnderOne(t *testing.T) {
	w := open(t, shop(t), nil)
	people, pen := buyers(w, 4), product(w, "P", 1_000_000)
	stop := make(chan struct{})
	var wait sync.WaitGroup
	var calls atomic.Int64
	for i, who := range people {
		wait.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				_, err := w.engine.Execute(context.Background(),
					checkout(who, pen, fmt.Sprint(i, "-", n)))
				if err != nil {
					t.Error(err)
					return
				}
				calls.Add(1)
			}
		})
	}
	for range 6 {
		next := compile(t, shop(t))
		if err := w.engine.Swap(next, nil, func() error { return nil }); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wait.Wait()
	left := w.get("products", pen).Get("stock").Int()
	if left != 1_000_000-calls.Load() || calls.Load() == 0 {
		t.Fatalf("%d calls, %d left", calls.Load(), left)
	}
}
