// Package cache keeps answers for a time, within a bound of memory. However many ask
// for an answer at once, it is made once; when it is old it is given once more while a
// fresh one is made. What an answer is, how long it is good and when it must be dropped
// is said by who asks.
package cache

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Answer is what is kept. It is shared by all who ask, so nobody may change it.
type Answer[V any] struct {
	Value V
	// Size is what it weighs against the cache's bound.
	Size int64
	// Fresh is how long it is given as it is; 0 means that it is not kept at all.
	Fresh time.Duration
	// Stale is how much longer it is given while another is made, or when none can be.
	Stale time.Duration
	// Made is when it was made; Get sets it.
	Made time.Time
}

// How an answer was come by.
const (
	Hit    = "hit"    // it was kept
	Stale  = "stale"  // it was kept and is old; another is being made
	Miss   = "miss"   // it was made now
	Joined = "joined" // it was made now, for somebody else who had asked before
)

// Load makes an answer. Its context outlives who asked, whom others may have joined.
type Load[V any] func(context.Context) (Answer[V], error)

// Cache keeps answers by their keys. It is safe for concurrent use.
type Cache[V any] struct {
	most   int64
	time   time.Duration
	now    func() time.Time
	ctx    context.Context
	cancel context.CancelFunc
	making sync.WaitGroup

	mu     sync.Mutex
	size   int64
	kept   map[string]*list.Element
	order  *list.List // the one asked for last in front
	flight map[string]*flight[V]
	closed bool
}

type entry[V any] struct {
	key    string
	answer Answer[V]
}

// flight is an answer that is being made.
type flight[V any] struct {
	done chan struct{}
	// dropped reports that what is being made is old already.
	dropped bool
	answer  Answer[V]
	err     error
}

// ErrClosed is the end of a Get of a cache that is closed.
var ErrClosed = errors.New("the cache is closed")

// answerShare is the part of the whole memory that one answer may take.
const answerShare = 8

// New returns a cache of at most a size of answers, none of which may take longer than
// a time to be made. now tells the time; nil means the machine's clock.
func New[V any](most int64, making time.Duration, now func() time.Time) *Cache[V] {
	if now == nil {
		now = time.Now
	}
	c := &Cache[V]{most: most, time: making, now: now, kept: map[string]*list.Element{},
		order: list.New(), flight: map[string]*flight[V]{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close ends what is being made, and waits for it.
func (c *Cache[V]) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.making.Wait()
}

// Get returns the answer kept under the key, or has it made, and says which. Those who
// ask while it is made wait for it, each as long as his own ctx lasts. If it cannot be
// made, the old one is returned as long as it may be.
func (c *Cache[V]) Get(ctx context.Context, key string, load Load[V]) (Answer[V], string, error) {
	return c.get(ctx, key, load, false)
}

// Latest returns what Get does, but that an old answer is not given: who asks waits for
// the one that is made.
func (c *Cache[V]) Latest(ctx context.Context, key string, load Load[V]) (Answer[V], error) {
	a, _, err := c.get(ctx, key, load, true)
	return a, err
}

func (c *Cache[V]) get(ctx context.Context, key string, load Load[V], latest bool) (
	Answer[V], string, error) {
	c.mu.Lock()
	old, found := c.find(key)
	how := Hit
	if found {
		if c.now().Sub(old.Made) < old.Fresh {
			c.mu.Unlock()
			return old, how, nil
		}
		how = Stale
	}
	f, err := c.start(key, load, &how)
	c.mu.Unlock()
	if found && !latest {
		return old, Stale, nil
	}
	if err != nil {
		return Answer[V]{}, Miss, err
	}
	select {
	case <-f.done:
		return f.answer, how, f.err
	case <-ctx.Done():
		return Answer[V]{}, how, ctx.Err()
	}
}

// find returns what is kept and may still be given.
func (c *Cache[V]) find(key string) (Answer[V], bool) {
	at := c.kept[key]
	if at == nil {
		return Answer[V]{}, false
	}
	a := at.Value.(*entry[V]).answer
	if c.now().Sub(a.Made) >= a.Fresh+a.Stale {
		c.remove(at)
		return Answer[V]{}, false
	}
	c.order.MoveToFront(at)
	return a, true
}

// start has an answer made, unless it is being made already.
func (c *Cache[V]) start(key string, load Load[V], how *string) (*flight[V], error) {
	if f := c.flight[key]; f != nil {
		*how = Joined
		return f, nil
	}
	if c.closed {
		return nil, ErrClosed
	}
	*how = Miss
	f := &flight[V]{done: make(chan struct{})}
	c.flight[key] = f
	c.making.Go(func() { c.make(key, f, load) })
	return f, nil
}

func (c *Cache[V]) make(key string, f *flight[V], load Load[V]) {
	defer func() {
		if cause := recover(); cause != nil { // those who wait hear of it, and nobody else
			f.err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
		c.mu.Lock()
		if c.flight[key] == f {
			delete(c.flight, key)
		}
		if f.err == nil && !f.dropped {
			c.keep(key, f.answer)
		}
		c.mu.Unlock()
		close(f.done)
	}()
	ctx, cancel := context.WithTimeout(c.ctx, c.time)
	defer cancel()
	made := c.now()
	f.answer, f.err = load(ctx)
	f.answer.Made = made
}

// keep puts an answer in, and others out until there is room.
func (c *Cache[V]) keep(key string, a Answer[V]) {
	if at := c.kept[key]; at != nil {
		c.remove(at)
	}
	a.Size += int64(len(key))
	if a.Fresh <= 0 || a.Size > c.most/answerShare {
		return
	}
	for c.size+a.Size > c.most {
		c.remove(c.order.Back())
	}
	c.kept[key] = c.order.PushFront(&entry[V]{key, a})
	c.size += a.Size
}

func (c *Cache[V]) remove(at *list.Element) {
	e := c.order.Remove(at).(*entry[V])
	delete(c.kept, e.key)
	c.size -= e.answer.Size
}

// Drop forgets the answers whose keys begin so, and those that are being made.
func (c *Cache[V]) Drop(prefix string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, at := range c.kept {
		if strings.HasPrefix(key, prefix) {
			c.remove(at)
		}
	}
	for key, f := range c.flight {
		if strings.HasPrefix(key, prefix) {
			f.dropped = true
			delete(c.flight, key)
		}
	}
}

// Size is what is kept, by its weight.
func (c *Cache[V]) Size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}
