package storetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// aStateKnowsItsPlace lets writers count, and holds each state that readers and calls
// see against the place that it says it is at.
func aStateKnowsItsPlace(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	ids := make([]ident.Record, 4)
	for i := range ids {
		ids[i] = idOf(b.put("customers", "name", fmt.Sprint(i), "wallet", 0))
	}
	var base journal.Seq
	b.ok(b.Read(b.ctx, func(v store.View) (err error) {
		base, err = v.Head(b.ctx)
		return err
	}))
	look := func(v store.View, sumFirst bool) error {
		sum := uint64(0)
		add := func() error {
			for _, id := range ids {
				x, err := v.Get(b.ctx, "customers", id)
				if err != nil {
					return err
				}
				sum += uint64(x.Get("wallet").Int())
			}
			return nil
		}
		if sumFirst {
			if err := add(); err != nil {
				return err
			}
		}
		head, err := v.Head(b.ctx)
		if err == nil && !sumFirst {
			err = add()
		}
		if err == nil && head.Lo-base.Lo != sum {
			b.Errorf("a state with %d commits says that it has %d", sum, head.Lo-base.Lo)
		}
		return err
	}
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	var readers, writers sync.WaitGroup
	for n := range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				err := b.Read(b.ctx, func(v store.View) error { return look(v, n == 0) })
				if err != nil {
					b.Errorf("read: %v", err)
				}
			}
		})
	}
	for w, id := range ids {
		writers.Go(func() {
			for n := range 25 {
				_, err := b.write(journal.Origin{Operation: fmt.Sprint("place", w)}, func(tx store.Tx) error {
					if n%5 == 0 {
						if err := look(tx, w%2 == 0); err != nil {
							return err
						}
					}
					_, err := tx.Put(b.ctx, "customers", b.record("customers", "id", id,
						"version", nil, "wallet", value.OfOp(value.OpAdd, value.OfInt(1))))
					return err
				})
				if err != nil && !fault.Is(err, fault.Unavailable) {
					b.Errorf("write: %v", err)
				}
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
}
