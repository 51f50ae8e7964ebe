package storetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// A store may let calls run one by one or beside each other. The checks below make
// the most of the second and ask of both that the outcome is that of one by one.

// patienceMax bounds how long a call waits inside for another to be committed; a
// store that runs calls one by one lets it wait in vain.
const (
	patienceMax = 150 * time.Millisecond
	patienceMin = 2 * time.Millisecond
)

// overlap lets something happen between two steps of a call.
type overlap struct {
	b     *bench
	other func()
	once  sync.Once
	done  chan struct{}
	// inside says that the other had ended before the call went on.
	inside bool
}

// beside returns an overlap with what other does, which runs on a goroutine of its
// own and reports by Errorf.
func (b *bench) beside(other func()) *overlap {
	return &overlap{b: b, other: other, done: make(chan struct{})}
}

// now lets the other begin, the first time it is called, and waits for its end as
// long as that may come.
func (o *overlap) now() {
	o.once.Do(func() {
		o.b.others.Go(func() {
			defer close(o.done)
			o.other()
		})
		timer := time.NewTimer(time.Duration(o.b.patience.Load()))
		defer timer.Stop()
		select {
		case <-o.done:
			o.inside = true
			o.b.patience.Store(min(2*o.b.patience.Load(), int64(patienceMax)))
		case <-timer.C:
			o.b.patience.Store(max(o.b.patience.Load()/4, int64(patienceMin)))
		}
	})
}

// wait returns when the other has ended.
func (o *overlap) wait() {
	o.now()
	<-o.done
}

// fresh names an operation that was never called: a store may treat a call by how
// those of its operation fared.
func (b *bench) fresh() journal.Origin {
	return journal.Origin{Operation: fmt.Sprint("fresh", b.names.Add(1))}
}

// two runs a call and lets another be committed inside it: first gets a function that
// does so. It returns both entries.
func (b *bench) two(
	first func(tx store.Tx, now func()) error, second func(tx store.Tx) error,
) (outcome, outcome, bool) {
	b.Helper()
	var one, other outcome
	o := b.beside(func() { other.entry, other.err = b.write(b.fresh(), second) })
	one.entry, one.err = b.write(b.fresh(), func(tx store.Tx) error { return first(tx, o.now) })
	inside := o.inside
	o.wait()
	return one, other, inside
}

// outcome is what a call came to.
type outcome struct {
	entry journal.Entry
	err   error
}

// code is "" for a call that was kept, or the code of its fault.
func (o outcome) code() string { return codeOf(o.err) }

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).CodeOr()
}

// whole asks that no relation points at nothing.
func (b *bench) whole() {
	b.Helper()
	b.ok(b.Read(b.ctx, func(v store.View) error {
		ids := map[string]map[string]bool{}
		rows := map[string][]value.Record{}
		for _, t := range b.Schema().Collections {
			found, err := v.Find(b.ctx, query.Query{Plan: all(t.Name)})
			if err != nil {
				return err
			}
			rows[t.Name], ids[t.Name] = found, map[string]bool{}
			for _, r := range found {
				ids[t.Name][string(idOf(r))] = true
			}
		}
		for _, t := range b.Schema().Collections {
			for i, f := range t.Shape.Fields() {
				if f.Type.Kind != value.TypeRelation {
					continue
				}
				for _, r := range rows[t.Name] {
					v := r.Slots[i]
					if !v.IsNull() && !ids[f.Type.Of][v.Text()] {
						return fmt.Errorf("%s of %s/%s points at nothing", f.Name, t.Name, idOf(r))
					}
				}
			}
		}
		return nil
	}))
}

// world is a small shop of one case's own: names begin with its tag.
type world struct {
	tag                                   string
	ana, bob, pen, ink, order, item, free ident.Record
	lease, folder                         ident.Record
}

func (b *bench) world(tag string) *world {
	b.Helper()
	w := &world{tag: tag, free: ident.NewRecord()}
	b.must(func(tx store.Tx) error {
		put := func(collection string, pairs ...any) ident.Record {
			r, err := tx.Put(b.ctx, collection, b.record(collection, pairs...))
			b.ok(err)
			return idOf(r)
		}
		w.ana = put("customers", "name", tag, "wallet", 5)
		w.bob = put("customers", "name", tag, "wallet", 5)
		w.pen = put("products", "sku", tag+"pen", "title", tag, "stock", 3, "open", true)
		w.ink = put("products", "sku", tag+"ink", "title", tag, "stock", 5, "open", true)
		w.order = put("orders", "customer", w.ana, "total", 7, "note", tag)
		w.item = put("order_items", "order", w.order, "product", w.pen, "quantity", 2)
		w.lease = put("leases", "name", tag, "count", 1)
		w.folder = put("folders", "name", "folder")
		return nil
	})
	return w
}

// probe looks at a world in one way, with the transaction's own eyes; some write.
type probe struct {
	name string
	look func(b *bench, tx store.Tx, w *world) (string, error)
}

// change alters a world.
type change struct {
	name string
	make func(b *bench, tx store.Tx, w *world) error
}

var (
	toCustomers = value.Type{Kind: value.TypeRelation, Of: "customers"}
	toOrders    = value.Type{Kind: value.TypeRelation, Of: "orders"}
	toProducts  = value.Type{Kind: value.TypeRelation, Of: "products", Optional: true}
	maybeInt    = value.Type{Kind: value.TypeInt, Optional: true}
)

func in(collection, name string, t value.Type) query.Expr {
	return query.Field{Of: query.Row{}, Collection: collection, Name: name, Type: t}
}

// bySlot is a plan that keeps the rows whose field is the query's argument.
func bySlot(collection, name string, t value.Type, sort ...query.Order) *query.Plan {
	return &query.Plan{From: collection, Where: query.Same{L: in(collection, name, t),
		R: query.Param{Type: t}}, Sort: sort}
}

// found asks a plan with a text and writes one field of each row.
func found(plan *query.Plan, field string, arg func(w *world) string) func(
	*bench, store.Tx, *world) (string, error) {
	return func(b *bench, tx store.Tx, w *world) (string, error) {
		rows, err := tx.Find(b.ctx, query.Query{Plan: plan,
			Args: []value.Value{value.OfText(arg(w))}})
		var out []string
		for _, r := range rows {
			out = append(out, string(value.AppendJSON(nil, r.Get(field))))
		}
		if plan.Sort == nil {
			slices.Sort(out)
		}
		return fmt.Sprint(out), err
	}
}

// got reads one record by its id.
func got(collection, field string, id func(w *world) ident.Record) func(
	*bench, store.Tx, *world) (string, error) {
	return func(b *bench, tx store.Tx, w *world) (string, error) {
		r, err := tx.Get(b.ctx, collection, id(w))
		if err != nil {
			return said(err)
		}
		return string(value.AppendJSON(nil, r.Get(field))), nil
	}
}

// said turns the faults that a caller may catch into an answer.
func said(err error) (string, error) {
	switch f := fault.From(err); f.Kind {
	case fault.NotFound, fault.Exists, fault.Invalid, fault.Refused, fault.Stale:
		out := f.CodeOr()
		for _, i := range f.Items {
			out += " " + i.Pointer
		}
		return out, nil
	default:
		return "", err
	}
}

// tried writes and tells what stood against it.
func tried(try func(b *bench, tx store.Tx, w *world) (value.Record, error), field string) func(
	*bench, store.Tx, *world) (string, error) {
	return func(b *bench, tx store.Tx, w *world) (string, error) {
		r, err := try(b, tx, w)
		if err != nil {
			return said(err)
		}
		if r.Zero() {
			return "done", nil
		}
		return string(value.AppendJSON(nil, r.Get(field))), nil
	}
}

func (b *bench) add(n int64) value.Value { return value.OfOp(value.OpAdd, value.OfInt(n)) }

// probes are the ways to look.
func probes() []probe {
	tag := func(w *world) string { return w.tag }
	orders := query.Exists{From: "orders", Scope: 1, Where: query.Same{L: query.Field{
		Of: query.Row{Scope: 1}, Collection: "orders", Name: "customer", Type: toCustomers},
		R: query.Row{}}}
	named := query.Same{L: in("customers", "name", typeText), R: query.Param{Type: typeText}}
	title := query.Field{Of: in("order_items", "product", toProducts), Collection: "products",
		Name: "title", Type: typeText}
	owner := query.Field{Of: query.Field{Of: in("order_items", "order", toOrders),
		Collection: "orders", Name: "customer", Type: toCustomers}, Collection: "customers",
		Name: "name", Type: typeText}
	sum := &query.Plan{From: "products", Where: query.Same{L: in("products", "title", typeText),
		R: query.Param{Type: typeText}}, Aggregates: []query.Aggregate{{Func: "sum",
		Of: in("products", "stock", typeInt)}, {Func: "count"}},
		Out: value.NewShape("out", []value.Field{{Name: "sum", Type: maybeInt},
			{Name: "n", Type: typeInt}})}
	out := []probe{
		{"Get", got("products", "stock", func(w *world) ident.Record { return w.pen })},
		{"GetMissing", got("customers", "name", func(w *world) ident.Record { return w.free })},
		{"GetQuiet", got("leases", "count", func(w *world) ident.Record { return w.lease })},
		{"Find", found(bySlot("products", "title", typeText), "sku", tag)},
		{"FindPointing", found(bySlot("order_items", "order", toOrders), "quantity",
			func(w *world) string { return string(w.order) })},
		{"FindSorted", found(&query.Plan{From: "products", Limit: 1, Where: query.Same{
			L: in("products", "title", typeText), R: query.Param{Type: typeText}},
			Sort: []query.Order{{By: in("products", "stock", typeInt), Desc: true}}}, "sku", tag)},
		{"FindQuiet", found(bySlot("leases", "name", typeText), "count", tag)},
		{"FindThroughRelation", found(&query.Plan{From: "order_items", Where: query.Same{L: title,
			R: query.Param{Type: typeText}}}, "quantity", tag)},
		{"FindThroughTwo", found(&query.Plan{From: "order_items", Where: query.Same{L: owner,
			R: query.Param{Type: typeText}}}, "quantity", tag)},
		{"Exists", found(&query.Plan{From: "customers", Where: query.And{Of: []query.Expr{named,
			orders}}}, "id", tag)},
		{"ExistsNot", found(&query.Plan{From: "customers", Where: query.And{Of: []query.Expr{named,
			query.Not{Of: orders}}}}, "id", tag)},
		{"Count", found(&query.Plan{From: "customers", Where: query.And{Of: []query.Expr{named,
			query.Compare{Op: ">=", L: query.Count{From: "orders", Scope: 1,
				Where: orders.Where}, R: lit(1)}}}}, "id", tag)},
		{"SortByRelation", found(&query.Plan{From: "order_items", Limit: 1, Where: query.Same{
			L: query.Field{Of: in("order_items", "order", toOrders), Collection: "orders",
				Name: "note", Type: value.Type{Kind: value.TypeText, Optional: true}},
			R: query.Param{Type: typeText}}, Sort: []query.Order{{By: title}, {By: query.Row{}}}},
			"quantity", tag)},
		{"Sum", found(sum, "sum", tag)},
		{"CountOfAll", found(sum, "n", tag)},
	}
	return append(out, writingProbes()...)
}

// writingProbes write, and so look at what may stand against it.
func writingProbes() []probe {
	put := func(collection string, pairs func(b *bench, w *world) []any) func(
		*bench, store.Tx, *world) (value.Record, error) {
		return func(b *bench, tx store.Tx, w *world) (value.Record, error) {
			return tx.Put(b.ctx, collection, b.record(collection, pairs(b, w)...))
		}
	}
	remove := func(collection string, id func(w *world) ident.Record) func(
		*bench, store.Tx, *world) (value.Record, error) {
		return func(b *bench, tx store.Tx, w *world) (value.Record, error) {
			return value.Record{}, tx.Delete(b.ctx, collection, id(w))
		}
	}
	return []probe{
		{"PutUnique", tried(put("products", func(_ *bench, w *world) []any {
			return []any{"sku", w.tag + "new", "title", "other", "stock", 1, "open", true}
		}), "sku")},
		{"PutUniqueOver", tried(put("products", func(_ *bench, w *world) []any {
			return []any{"id", w.ink, "version", nil, "sku", w.tag + "new"}
		}), "sku")},
		{"PutUniqueForAWhile", tried(func(b *bench, tx store.Tx, w *world) (value.Record, error) {
			r, err := tx.Put(b.ctx, "products", b.record("products", "sku", w.tag+"new", "title",
				"other", "stock", 1, "open", true))
			if err != nil {
				return r, err
			}
			r.Set("sku", value.OfText(w.tag+"other"))
			return tx.Put(b.ctx, "products", r)
		}, "sku")},
		{"PutFreed", tried(put("products", func(_ *bench, w *world) []any {
			return []any{"sku", w.tag + "pen", "title", "other", "stock", 1, "open", true}
		}), "sku")},
		{"PutID", tried(put("customers", func(_ *bench, w *world) []any {
			return []any{"id", w.free, "name", "other", "wallet", 1}
		}), "name")},
		{"PutOver", tried(put("products", func(_ *bench, w *world) []any {
			return []any{"id", w.pen, "version", nil, "open", false}
		}), "version")},
		{"PutVersion", tried(put("products", func(_ *bench, w *world) []any {
			return []any{"id", w.pen, "version", 1, "open", false}
		}), "stock")},
		{"PutOperator", tried(put("products", func(b *bench, w *world) []any {
			return []any{"id", w.pen, "version", nil, "stock", b.add(-3)}
		}), "stock")},
		{"PutQuietOperator", tried(put("leases", func(b *bench, w *world) []any {
			return []any{"id", w.lease, "version", nil, "count", b.add(1)}
		}), "count")},
		{"PutRelation", tried(put("order_items", func(_ *bench, w *world) []any {
			return []any{"order", w.order, "product", w.ink, "quantity", 9}
		}), "quantity")},
		{"PutRelationMissing", tried(put("orders", func(_ *bench, w *world) []any {
			return []any{"customer", w.free, "total", 1}
		}), "total")},
		{"PutRelationOver", tried(put("order_items", func(_ *bench, w *world) []any {
			return []any{"id", w.item, "version", nil, "product", w.ink}
		}), "quantity")},
		{"DeleteInUse", tried(remove("customers", func(w *world) ident.Record { return w.bob }), "")},
		{"DeleteUsed", tried(remove("customers", func(w *world) ident.Record { return w.ana }), "")},
		{"DeleteCascade", tried(remove("orders", func(w *world) ident.Record {
			return w.order
		}), "")},
		{"DeleteClear", tried(remove("products", func(w *world) ident.Record { return w.ink }), "")},
		{"DeleteMissing", tried(remove("customers", func(w *world) ident.Record {
			return w.free
		}), "")},
	}
}

// changes are what another may commit meanwhile.
func changes() []change {
	put := func(collection string, pairs func(b *bench, w *world) []any) func(
		*bench, store.Tx, *world) error {
		return func(b *bench, tx store.Tx, w *world) error {
			_, err := tx.Put(b.ctx, collection, b.record(collection, pairs(b, w)...))
			return err
		}
	}
	remove := func(collection string, id func(w *world) ident.Record) func(
		*bench, store.Tx, *world) error {
		return func(b *bench, tx store.Tx, w *world) error {
			return tx.Delete(b.ctx, collection, id(w))
		}
	}
	return []change{
		{"Add", put("products", func(b *bench, w *world) []any {
			return []any{"id", w.pen, "version", nil, "stock", b.add(4)}
		})},
		{"Rename", put("products", func(_ *bench, w *world) []any {
			return []any{"id", w.ink, "version", nil, "sku", w.tag + "new", "title", "gone"}
		})},
		{"Insert", put("products", func(_ *bench, w *world) []any {
			return []any{"sku", w.tag + "new", "title", w.tag, "stock", 9, "open", true}
		})},
		{"Delete", remove("products", func(w *world) ident.Record { return w.pen })},
		{"DeleteInk", remove("products", func(w *world) ident.Record { return w.ink })},
		{"InsertID", put("customers", func(_ *bench, w *world) []any {
			return []any{"id", w.free, "name", w.tag, "wallet", 1}
		})},
		{"InsertOrder", put("orders", func(_ *bench, w *world) []any {
			return []any{"customer", w.bob, "total", 1, "note", w.tag}
		})},
		{"InsertItem", put("order_items", func(_ *bench, w *world) []any {
			return []any{"order", w.order, "product", w.ink, "quantity", 4}
		})},
		{"DeleteOrder", remove("orders", func(w *world) ident.Record { return w.order })},
		{"DeleteBob", remove("customers", func(w *world) ident.Record { return w.bob })},
		{"Retie", put("orders", func(_ *bench, w *world) []any {
			return []any{"id", w.order, "version", nil, "customer", w.bob}
		})},
		{"Lease", put("leases", func(b *bench, w *world) []any {
			return []any{"id", w.lease, "version", nil, "count", b.add(5)}
		})},
		{"LeaseInsert", put("leases", func(_ *bench, w *world) []any {
			return []any{"name", w.tag, "count", 8}
		})},
		{"LeaseDelete", remove("leases", func(w *world) ident.Record { return w.lease })},
		{"DeleteAndPut", func(b *bench, tx store.Tx, w *world) error {
			if err := tx.Delete(b.ctx, "products", w.pen); err != nil {
				return err
			}
			_, err := tx.Put(b.ctx, "products", b.record("products", "id", w.pen, "sku",
				w.tag+"pen", "title", w.tag, "stock", 8, "open", true))
			return err
		}},
	}
}
