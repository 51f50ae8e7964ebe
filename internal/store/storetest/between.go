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
