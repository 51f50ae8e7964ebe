// Package conform runs the suite of stores outside of tests, against a database that
// somebody names, and says of each guarantee whether it held there. Where the trials
// are made, package scratch sees to; what is asked, package storetest.
package conform

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/store/scratch"
	"github.com/galleybackend/galley/internal/store/storetest"
)

// checkTime bounds one check, which has a bound of its own for all that it asks.
const checkTime = 2 * time.Minute

// findingsMax bounds what is kept of one check's findings.
const findingsMax = 20

// Verdict says how a guarantee fared.
type Verdict struct {
	Guarantee string `json:"guarantee"`
	Mechanism string `json:"mechanism"`
	Holds     bool   `json:"holds"`
	Checks    int    `json:"checks"`
	Millis    int64  `json:"millis"`
	// Findings say what did not hold, each with the name of its check.
	Findings []Finding `json:"findings,omitempty"`
}

// Finding is what a check found to be wrong.
type Finding struct {
	Check string `json:"check"`
	Text  string `json:"text"`
}

// Run asks for every guarantee, one after the other, and tells each verdict. It ends
// early with the context, or when a trial cannot be made or removed.
func Run(ctx context.Context, address string, tell func(Verdict)) error {
	return run(ctx, address, storetest.Guarantees(), tell)
}

func run(
	ctx context.Context, address string, all []storetest.Guarantee, tell func(Verdict),
) error {
	g, err := scratch.New(ctx, address)
	if err != nil {
		return err
	}
	for _, guarantee := range all {
		v := Verdict{Guarantee: guarantee.Title, Mechanism: guarantee.Mechanism, Holds: true,
			Checks: len(guarantee.Checks)}
		begin := time.Now()
		for _, c := range guarantee.Checks {
			found, err := try(ctx, g, c)
			if err != nil {
				return err
			}
			v.Findings = append(v.Findings, found...)
		}
		v.Holds, v.Millis = len(v.Findings) == 0, time.Since(begin).Milliseconds()
		tell(v)
	}
	return nil
}

// try runs one check in a place of its own.
func try(ctx context.Context, g *scratch.Ground, c storetest.Check) ([]Finding, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	place, remove, err := g.Place(ctx)
	if err != nil {
		return nil, err
	}
	r, p := &report{check: c.Name}, &opened{place: place}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if what := recover(); what != nil {
				r.Errorf("panic: %v", what)
			}
		}()
		c.Run(r, p.open)
	}()
	timer := time.NewTimer(checkTime)
	defer timer.Stop()
	select {
	case <-done:
		p.close()
	case <-timer.C: // its stores would not close, either
		r.Errorf("the check did not end within %v", checkTime)
	}
	return r.findings(), remove()
}

// opened remembers the stores that a check opened, so that one that ended early leaves
// none open.
type opened struct {
	place  storetest.Place
	mu     sync.Mutex
	stores []storetest.Store
}

func (o *opened) open(f storetest.Faults) (storetest.Store, error) {
	s, err := o.place(f)
	if err == nil {
		o.mu.Lock()
		o.stores = append(o.stores, s)
		o.mu.Unlock()
	}
	return s, err
}

// close closes what may be open. A store that is closed is not harmed.
func (o *opened) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.stores {
		_ = s.Close() // what there was to say of it, the check has said
	}
}

// report is a storetest.Report that keeps what it is told.
type report struct {
	check string
	mu    sync.Mutex
	found []Finding
}

// Helper is of no use here.
func (r *report) Helper() {}

// Logf is for tests, whose readers want more than a verdict.
func (r *report) Logf(string, ...any) {}

// Errorf keeps a finding.
func (r *report) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.found) < findingsMax {
		r.found = append(r.found, Finding{r.check, fmt.Sprintf(format, args...)})
	}
}

// Fatalf keeps a finding and ends the check.
func (r *report) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *report) findings() []Finding {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found
}
