package storetest

import (
	"fmt"
	"sync"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// aloneFindsTheOther lets one handle write for a while as if it were alone, then the
// other once; what the first does then stands on what the other did.
func aloneFindsTheOther(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	other := b.peer(p)
	defer other.leave(b)
	ana := idOf(b.put("customers", "name", "ana", "wallet", 0))
	lease := idOf(b.put("leases", "name", "l", "count", 0))
	const rounds, calm = 16, 12
	total := int64(0)
	for round := range rounds {
		one, two := b, other
		if round%2 == 1 {
			one, two = other, b
		}
		for range calm {
			total++
			one.earn(ana, "", total)
		}
		key := fmt.Sprint("key", round)
		total++
		two.earn(ana, key, total)
		switch round / 2 % 4 {
		case 0: // what was read has changed
			total++
			one.earn(ana, "", total)
		case 1: // nothing is left to be written
			e, err := one.write(journal.Origin{}, func(tx store.Tx) error {
				rec, err := tx.Get(one.ctx, "customers", ana)
				one.is(rec.Get("wallet").Int(), total)
				return err
			})
			one.ok(err)
			one.is(len(e.Changes), 0)
		case 2: // the key was used
			e := one.earn(ana, key, total+1)
			one.is(e.Replayed, true)
		case 3: // several at once
			var calls sync.WaitGroup
			for range 4 {
				calls.Go(func() { one.earn(ana, "", 0) })
			}
			calls.Wait()
			total += 4
		}
		// What leaves no entry has no place at which it could meet the other's.
		for range calm {
			one.count(lease, nil)
		}
		one.count(lease, func() { two.count(lease, nil) })
	}
	b.is(b.get("leases", lease).Get("count").Int(), rounds*(calm+2))
	b.is(b.get("customers", ana).Get("wallet").Int(), total)
	b.is(other.get("customers", ana).Get("wallet").Int(), total)
}

// earn adds one to a wallet, which is to hold want then; 0 means whatever.
func (b *bench) earn(id ident.Record, key string, want int64) journal.Entry {
	var now int64
	e, err := b.write(journal.Origin{Operation: "earn", Key: key}, func(tx store.Tx) error {
		rec, err := tx.Get(b.ctx, "customers", id)
		if err != nil {
			return err
		}
		now = rec.Get("wallet").Int() + 1
		rec.Set("wallet", value.OfInt(now))
		_, err = tx.Put(b.ctx, "customers", rec)
		return err
	})
	b.ok(err)
	if want > 0 && !e.Replayed {
		b.is(now, want)
	}
	return e
}

// count adds one to a quiet record; between comes once, between the look and the write.
func (b *bench) count(id ident.Record, between func()) {
	_, err := b.write(journal.Origin{}, func(tx store.Tx) error {
		rec, err := tx.Get(b.ctx, "leases", id)
		if err != nil {
			return err
		}
		if between != nil {
			between()
			between = nil
		}
		rec.Set("count", value.OfInt(rec.Get("count").Int()+1))
		_, err = tx.Put(b.ctx, "leases", rec)
		return err
	})
	b.ok(err)
}
