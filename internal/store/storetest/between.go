package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// What may come between the steps of a call beside those of overlap.go: keys that are
// used elsewhere, shapes that change again and again, values that are free for a while.

// readersBesideShapes reads at two handles while a collection is made anew again and
// again: whoever looks finds all records, and those who point at them.
func readersBesideShapes(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	other := b.peer(p)
	defer other.leave(b)
	const records = 5
	var ids []ident.Record
	for n := range records {
		ids = append(ids, idOf(b.put("customers", "name", fmt.Sprint("c", n), "wallet", 1)))
	}
	was, next := b.clone(), b.clone()
	whole := value.Type{Kind: value.TypeInt}
	reshaped(next.Table("customers"), func(f []value.Field) []value.Field {
		return append(f, value.Field{Name: "more", Type: whole})
	})
	var done atomic.Bool
	var readers sync.WaitGroup
	for _, h := range []*bench{b, other} {
		for n := range 3 {
			readers.Go(func() {
				for !done.Load() && h.lookWhileShapesChange(ids, n) {
				}
			})
		}
	}
	for range 8 {
		for _, steps := range [][]spec.Step{
			adopt(next, spec.Step{Kind: spec.AddField, Collection: "customers", Field: "more",
				Type: &whole, Fill: value.OfInt(1)}),
			adopt(was, spec.Step{Kind: spec.DropField, Collection: "customers", Field: "more"}),
		} {
			if _, err := b.apply(steps); err != nil {
				b.Errorf("apply: %v", err)
				done.Store(true)
			}
		}
	}
	done.Store(true)
	readers.Wait()
}

// lookWhileShapesChange looks in one of three ways: at all, at one, and in a call.
func (b *bench) lookWhileShapesChange(ids []ident.Record, way int) bool {
	look := func(v store.View) error {
		if way == 1 {
			_, err := v.Get(b.ctx, "customers", ids[0])
			return err
		}
		rows, err := v.Find(b.ctx, query.Query{Plan: all("customers")})
		if err == nil && len(rows) != len(ids) {
			err = fmt.Errorf("got %d records, want %d", len(rows), len(ids))
		}
		return err
	}
	var err error
	if way == 2 {
		_, err = b.write(journal.Origin{Operation: "look"}, func(tx store.Tx) error {
			return look(tx)
		})
	} else {
		err = b.Read(b.ctx, look)
	}
	if err != nil && !fault.Is(err, fault.Unavailable) {
		b.Errorf("way %d: %v", way, err)
		return false
	}
	return true
}

// keyUsedElsewhere lets the key of a call be used at another handle while the call runs,
// before it looks at what it has itself written: it has the other's answer, and those
// who share its commit have theirs.
func keyUsedElsewhere(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	other := b.peer(p)
	defer other.leave(b)
	for n := range 6 {
		name := fmt.Sprint("elsewhere", n)
		o := b.fresh()
		o.Key = "k"
		var first outcome
		between := b.beside(func() { first.entry, first.err = other.customer(o, name) })
		e, err := b.write(o, func(tx store.Tx) error {
			_, err := tx.Put(b.ctx, "customers", b.record("customers", "name", name, "wallet", 1))
			if err != nil {
				return err
			}
			between.now()
			if n%2 == 0 {
				_, err = tx.Find(b.ctx, query.Query{Plan: bySlot("customers", "name", typeText),
					Args: []value.Value{of(name)}})
			}
			return err
		})
		inside := between.inside
		between.wait()
		if fault.Is(first.err, fault.Conflict) { // it waited for the first in the same process
			first.entry, first.err = other.customer(o, name)
		}
		b.ok(err)
		b.ok(first.err)
		b.is(e.Seq, first.entry.Seq)
		if inside {
			b.is(e.Replayed, true)
		}
		b.is(len(b.find(bySlot("customers", "name", typeText), of(name))), 1)
	}
}

// lostBesideAKey lets a unique value be taken and a key be used at another handle while
// two calls of this one run, which then come into the line together: the one is told
// that its value is taken, the other has the answer of its key, and neither is told of
// something that is not there.
func lostBesideAKey(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	other := b.peer(p)
	defer other.leave(b)
	if other == b {
		return // one handle keeps its keys itself
	}
	for n := range 12 {
		sku, keyed := fmt.Sprint("lost", n), b.fresh()
		keyed.Key = "k"
		var ran sync.WaitGroup
		ran.Add(2)
		arrived := [2]func(){sync.OnceFunc(ran.Done), sync.OnceFunc(ran.Done)}
		release := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
		follow := sync.OnceFunc(func() { close(release[1]) })
		var calls sync.WaitGroup
		var got [2]outcome
		calls.Go(func() {
			got[0].entry, got[0].err = b.write(b.fresh(), func(tx store.Tx) error {
				_, err := tx.Put(b.ctx, "products", b.record("products", "sku", sku, "title", "t",
					"stock", 1, "open", true))
				arrived[0]()
				<-release[0]
				follow()
				return err
			})
		})
		calls.Go(func() {
			got[1].entry, got[1].err = b.write(keyed, func(tx store.Tx) error {
				_, err := tx.Put(b.ctx, "customers", b.record("customers", "name", sku, "wallet", 1))
				arrived[1]()
				<-release[1]
				return err
			})
		})
		ran.Wait()
		taken := other.product(sku, 1)
		first, err := other.customer(keyed, sku)
		b.ok(err)
		close(release[0])
		calls.Wait()
		b.want(got[0].err, fault.Exists, "already_exists")
		b.ok(got[1].err)
		b.is(got[1].entry.Seq, first.Seq)
		found := b.find(bySlot("products", "sku", typeText), of(sku))
		b.is(len(found), 1)
		b.is(idOf(found[0]), taken)
	}
}
