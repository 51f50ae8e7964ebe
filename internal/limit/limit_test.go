package limit

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestQuotaPassesAtOnceAndThenOneEachStep(t *testing.T) {
	r, now := NewRates(), time.Unix(1_700_000_000, 0)
	for i := range 10 {
		s, ok := r.Take("a", 10, time.Minute, now)
		if !ok || s.Remaining != 9-i {
			t.Fatalf("call %d: %v, %d remaining", i, ok, s.Remaining)
		}
	}
	s, ok := r.Take("a", 10, time.Minute, now)
	if ok || s.Retry != 6*time.Second || s.Reset != time.Minute {
		t.Fatalf("the eleventh passed or waits wrongly: %v %+v", ok, s)
	}
	if _, ok := r.Take("b", 10, time.Minute, now); !ok {
		t.Fatal("another name was counted with the first")
	}
	if _, ok := r.Take("a", 10, time.Minute, now.Add(6*time.Second)); !ok {
		t.Fatal("it did not pass after its wait")
	}
	if _, ok := r.Take("a", 10, time.Minute, now.Add(6*time.Second)); ok {
		t.Fatal("two passed after a wait for one")
	}
	if s, ok := r.Take("a", 10, time.Minute, now.Add(time.Hour)); !ok || s.Remaining != 9 {
		t.Fatalf("after an hour: %v %+v", ok, s)
	}
}

func TestExactlyTheQuotaPassesOfManyAtOnce(t *testing.T) {
	r, now := NewRates(), time.Unix(1_700_000_000, 0)
	var passed atomic.Int64
	var wait sync.WaitGroup
	for range 200 {
		wait.Go(func() {
			if _, ok := r.Take("a", 50, time.Hour, now); ok {
				passed.Add(1)
			}
		})
	}
	wait.Wait()
	if n := passed.Load(); n != 50 {
		t.Errorf("got %d, want 50", n)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	r, now := NewRates(), time.Unix(1_700_000_000, 0)
	for i := range 2 * shardCount * namesMax {
		r.Take(fmt.Sprint(i), 10, time.Hour, now)
	}
	for i := range r.shards {
		if n := len(r.shards[i].whole); n > namesMax {
			t.Fatalf("a shard remembers %d names", n)
		}
	}
}

func TestAnAddressIsCountedWithItsNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "::ffff:192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::1": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "": "", "@": "@",
	} {
		if got := Network(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

func TestNoMoreAreInsideThanMayBe(t *testing.T) {
	var i Inside
	var inside, most, refused atomic.Int64
	var wait sync.WaitGroup
	for range 200 {
		wait.Go(func() {
			for range 100 {
				if !i.Enter("a", 10) {
					refused.Add(1)
					continue
				}
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				runtime.Gosched()
				inside.Add(-1)
				i.Leave("a")
			}
		})
	}
	wait.Wait()
	if most.Load() > 10 || refused.Load() == 0 {
		t.Errorf("%d were inside, %d were refused", most.Load(), refused.Load())
	}
	if len(i.count) != 0 {
		t.Errorf("%d names are remembered after all have left", len(i.count))
	}
}

func BenchmarkTake(b *testing.B) {
	r, now := NewRates(), time.Now()
	for b.Loop() {
		r.Take("users/01k9vq3m8de00r40m30e209185", 1000, time.Minute, now)
	}
}
