// Package load sends HTTP/1.1 requests in a closed loop over kept-alive connections
// and measures the answers. It is made to cost little beside the server it shares the
// cores with: requests are bytes made in advance, and of an answer only the status
// line and the length are read. It promises that every answer's status is looked at
// and every sampled body is checked; what a right answer is, its caller says.
package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// sampleEvery is how many answers of a connection pass between two whose body is
// checked. The first is always checked.
const sampleEvery = 64

// errorsMax is how many wrong answers a connection takes before it gives up.
const errorsMax = 100

// Script is what one connection asks, request after request.
type Script struct {
	// Next returns the bytes of the next request. They may be overwritten by the
	// following Next.
	Next func() []byte
	// Status is the only status that counts as right.
	Status int
	// Check judges a sampled body; nil accepts all. It must not keep the bytes.
	Check func(body []byte) error
}

// Plan is one run: so many connections for so long.
type Plan struct {
	Addr  string
	Conns int
	// Warm is the time before answers count for the rate and the latencies.
	Warm time.Duration
	// Time is how long answers are counted.
	Time time.Duration
	// Script makes the script of the n-th connection.
	Script func(n int) Script
}

// Result is what a run measured.
type Result struct {
	// Rate is right answers a second while they counted.
	Rate float64
	// Right counts all right answers, those of the warm time too: for writes, what
	// the server has acknowledged.
	Right int64
	// Wrong counts answers with another status or a body that Check refused, and
	// connections that broke.
	Wrong int64
	// First is the first thing that went wrong.
	First error
	// Took holds the latencies that counted.
	Took Histogram
}

// Run carries out the plan and waits for the last answer of every connection. It
// returns an error only when no connection could be made at all.
func Run(ctx context.Context, p Plan) (Result, error) {
	conns := make([]*Conn, p.Conns)
	for i := range conns {
		c, err := Dial(ctx, p.Addr)
		if err != nil {
			return Result{}, fmt.Errorf("connect to %s: %w", p.Addr, err)
		}
		defer c.Close()
		conns[i] = c
	}
	count := time.Now().Add(p.Warm)
	end := count.Add(p.Time)
	parts := make([]Result, p.Conns)
	var wait sync.WaitGroup
	for i, c := range conns {
		script := p.Script(i)
		wait.Go(func() { parts[i] = drive(ctx, c, script, count, end) })
	}
	wait.Wait()
	var all Result
	for i := range parts {
		all.Right += parts[i].Right
		all.Wrong += parts[i].Wrong
		if all.First == nil {
			all.First = parts[i].First
		}
		all.Took.Add(&parts[i].Took)
	}
	all.Rate = float64(all.Took.Count()) / p.Time.Seconds()
	return all, nil
}

// drive is the closed loop of one connection.
func drive(ctx context.Context, c *Conn, s Script, count, end time.Time) Result {
	var r Result
	start := time.Now()
	for n := 0; start.Before(end) && ctx.Err() == nil; n++ {
		status, body, err := c.Exchange(s.Next())
		now := time.Now()
		switch {
		case err != nil:
			err = fmt.Errorf("connection broke: %w", err)
		case status != s.Status:
			err = fmt.Errorf("status %d in place of %d: %.300s", status, s.Status, body)
		case n%sampleEvery == 0 && s.Check != nil:
			err = s.Check(body)
		}
		if err == nil {
			r.Right++
			if start.After(count) && now.Before(end) {
				r.Took.Observe(now.Sub(start))
			}
		} else {
			r.Wrong++
			if r.First == nil {
				r.First = err
			}
			if status == 0 || r.Wrong >= errorsMax {
				r.First = errors.Join(r.First, errors.New("the connection gave up"))
				return r
			}
		}
		start = now
	}
	return r
}

// Once sends one request on a connection of its own and returns status and body.
func Once(ctx context.Context, addr string, request []byte) (int, []byte, error) {
	c, err := Dial(ctx, addr)
	if err != nil {
		return 0, nil, err
	}
	defer c.Close()
	return c.Exchange(request)
}
