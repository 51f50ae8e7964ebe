package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/galleybackend/galley/internal/cache"
)

func answer(v string) cache.Load[string] {
	return func(context.Context) (cache.Answer[string], error) {
		return cache.Answer[string]{Value: v, Size: 1, Fresh: time.Minute, Stale: time.Minute}, nil
	}
}

func TestAnAnswerIsMadeOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache.New[string](1000, time.Minute, nil)
		defer c.Close()
		var made atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				a, _, err := c.Get(t.Context(), "k", func(context.Context) (cache.Answer[string], error) {
					time.Sleep(time.Second)
					return cache.Answer[string]{Value: fmt.Sprint(made.Add(1)), Fresh: time.Minute}, nil
				})
				if a.Value != "1" || err != nil {
					t.Errorf("got %q, %v", a.Value, err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 {
			t.Errorf("made %d times", made.Load())
		}
	})
}

func TestAnOldAnswerIsGivenWhileAnotherIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache.New[string](1000, time.Minute, nil)
		defer c.Close()
		get := func(load cache.Load[string], want, wantHow string) {
			t.Helper()
			a, how, err := c.Get(t.Context(), "k", load)
			if a.Value != want || how != wantHow || err != nil {
				t.Errorf("got %q, %s, %v; want %q, %s", a.Value, how, err, want, wantHow)
			}
			synctest.Wait()
		}
		bad := func(context.Context) (cache.Answer[string], error) {
			return cache.Answer[string]{}, errors.New("down")
		}
		get(answer("1"), "1", cache.Miss)
		get(answer("2"), "1", cache.Hit)
		time.Sleep(time.Minute)
		get(bad, "1", cache.Stale) // it could not be made: the old one stays
		get(answer("3"), "1", cache.Stale)
		get(answer("4"), "3", cache.Hit)
		time.Sleep(2 * time.Minute)
		get(answer("5"), "5", cache.Miss)
	})
}

func TestWhoAsksWaitsNoLongerThanHeWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cache.New[string](1000, time.Hour, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		slow := func(ctx context.Context) (cache.Answer[string], error) {
			<-ctx.Done()
			return cache.Answer[string]{}, ctx.Err()
		}
		if _, _, err := c.Get(ctx, "k", slow); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		c.Close() // ends what is still being made
		if _, _, err := c.Get(t.Context(), "k", slow); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAPanicIsAnError(t *testing.T) {
	c := cache.New[string](1000, time.Minute, nil)
	defer c.Close()
	_, _, err := c.Get(t.Context(), "k", func(context.Context) (cache.Answer[string], error) {
		panic("no")
	})
	if err == nil {
		t.Error("there is no error")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := cache.New[string](1000, time.Minute, nil)
	defer c.Close()
	sized := func(n int64) cache.Load[string] {
		return func(context.Context) (cache.Answer[string], error) {
			return cache.Answer[string]{Size: n, Fresh: time.Hour}, nil
		}
	}
	for i := range 1000 {
		if _, _, err := c.Get(t.Context(), fmt.Sprintf("%04d", i), sized(96)); err != nil {
			t.Fatal(err)
		}
	}
	if c.Size() != 1000 {
		t.Errorf("the size is %d, want 1000", c.Size())
	}
	if _, how, _ := c.Get(t.Context(), "0999", sized(1)); how != cache.Hit {
		t.Errorf("the last one was a %s", how)
	}
	if _, how, _ := c.Get(t.Context(), "0001", sized(900)); how != cache.Miss || c.Size() != 1000 {
		t.Errorf("one that is too large was a %s and left %d", how, c.Size())
	}
	c.Drop("09")
	if c.Size() != 0 {
		t.Errorf("after Drop the size is %d", c.Size())
	}
}

func TestWhatIsDroppedWhileItIsMadeIsNotKept(t *testing.T) {
	c := cache.New[string](1000, time.Minute, nil)
	defer c.Close()
	begun, go_ := make(chan bool), make(chan bool)
	done := make(chan bool)
	go func() {
		defer close(done)
		_, _, _ = c.Get(context.Background(), "k", func(context.Context) (cache.Answer[string], error) {
			begun <- true
			<-go_
			return cache.Answer[string]{Value: "old", Fresh: time.Hour}, nil
		})
	}()
	<-begun
	c.Drop("")
	a, _, err := c.Get(t.Context(), "k", answer("new"))
	if err != nil || a.Value != "new" {
		t.Errorf("got %v, %v", a, err)
	}
	close(go_)
	<-done
	if a, _, _ := c.Get(t.Context(), "k", answer("other")); a.Value != "new" {
		t.Errorf("kept %q", a.Value)
	}
}
