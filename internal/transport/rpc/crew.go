package rpc

import (
	"context"
	"sync"
	"sync/atomic"
)

// crew does the work of calls on goroutines that stay. HTTP/2 has a new one for each call,
// whose stack would grow anew for each to what an engine and a database need.
type crew struct {
	tasks   chan *task
	waiting atomic.Int64
	closing context.Context
	free    sync.Pool
}

// task is something to do, and the word that it is done.
type task struct {
	do   func()
	done chan struct{}
}

// crewMax is how many stay that have nothing to do.
const crewMax = 64

func newCrew(closing context.Context) *crew {
	return &crew{tasks: make(chan *task), closing: closing,
		free: sync.Pool{New: func() any { return &task{done: make(chan struct{}, 1)} }}}
}

// run returns when it has been done, by one who waits or by a new one: as many work as
// there is work. What is done must not panic.
func (c *crew) run(do func()) {
	t := c.free.Get().(*task)
	t.do = do
	select {
	case c.tasks <- t:
	default:
		go c.work(t)
	}
	<-t.done
	t.do = nil
	c.free.Put(t)
}

func (c *crew) work(t *task) {
	for {
		t.do()
		t.done <- struct{}{}
		if c.waiting.Add(1) > crewMax {
			c.waiting.Add(-1)
			return
		}
		select {
		case t = <-c.tasks:
			c.waiting.Add(-1)
		case <-c.closing.Done():
			return
		}
	}
}
