package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

var _ store.Tx = (*tx)(nil)

// tx is one call's part of the open transaction.
type tx struct {
	view
	now     time.Time
	touched []touched
	index   map[recordKey]int
	changes []journal.Change
	fresh   bool
	intents []journal.Intent
	reply   value.Value
	// wrote says that a row was written, be it quiet.
	wrote bool
	// broken is an error of the database that fn cannot mend.
	broken error
	// over says that fn returned.
	over bool
	slot []int

	// ahead is the snapshot on which the call runs before it has a place in the line:
	// nothing is written yet.
	ahead *snapshot
	// group is set when the call runs in the line, and saved when what it writes goes to
	// the database at once, under a savepoint.
	group *group
	saved bool
	// memo is what the call did when it ran before, of a state of the time since, and
	// finds what it found, if that is kept.
	memo  *tx
	since uint64
	finds []find
	// vacant are the unique sets in which nothing stood against what the call writes.
	vacant []vacancy
	// guessed says that values were supposed to be free, and passed that a record is to
	// have a unique value no more that it had meanwhile.
	guessed, passed bool
	// claim is the scope of the call's key, if it has one.
	claim *claim
	// flocks are records that came together.
	flocks []*flock
	// behind says that the call must run anew, in the line, and plain that it must write
	// at once there.
	behind, plain bool
	// scans are what was read of tables beyond records by their id.
	scans []scan
	// writes are the places of the records written, in the order of first writing.
	writes []int
}

// recordKey names a record.
type recordKey struct {
	table *table
	id    ident.Record
}

// touched is a record that the transaction has read by its id, or written: the
// records are the store's own and are never given away.
type touched struct {
	recordKey
	before  value.Record
	now     value.Record
	written bool
}

// scanMax is how many touched records are looked through before a map is made.
const scanMax = 12

// known returns the place of a touched record.
func (t *tx) known(k recordKey) *touched {
	if t.index != nil {
		if i, ok := t.index[k]; ok {
			return &t.touched[i]
		}
		return nil
	}
	for i := range t.touched {
		if t.touched[i].recordKey == k {
			return &t.touched[i]
		}
	}
	return nil
}

// place returns where a touched record stands.
func (t *tx) place(seen *touched) int {
	if t.index != nil {
		return t.index[seen.recordKey]
	}
	for i := range t.touched {
		if &t.touched[i] == seen {
			return i
		}
	}
	return -1
}

// remember notes a record as it is stored.
func (t *tx) remember(k recordKey, r value.Record) *touched {
	t.touched = append(t.touched, touched{recordKey: k, before: r, now: r})
	switch n := len(t.touched); {
	case t.index != nil:
		t.index[k] = n - 1
	case n > scanMax:
		t.index = make(map[recordKey]int, 4*scanMax)
		for i := range t.touched {
			t.index[t.touched[i].recordKey] = i
		}
	}
	return &t.touched[len(t.touched)-1]
}

// current returns the record as this transaction sees it, reading it once.
func (t *tx) current(ctx context.Context, k recordKey) (*touched, error) {
	if seen := t.known(k); seen != nil {
		return seen, nil
	}
	if r, ok := t.recall(k); ok {
		return t.remember(k, r), nil
	}
	r, here := t.along(k)
	if !here {
		followed, err := t.follow(ctx, k)
		if err != nil {
			return nil, t.reading(err)
		}
		if followed {
			r, here = t.along(k)
		}
	}
	if here {
		return t.remember(k, r), nil
	}
	r, err := t.one(ctx, k.table, k.id)
	if err != nil {
		return nil, t.reading(err)
	}
	return t.remember(k, r), nil
}

// reading notes the error of a read that ends the transaction.
func (t *tx) reading(err error) error {
	switch {
	case t.group != nil && !t.conn.Open() || t.store.Failure() != nil:
		t.broken = err
	case t.group == nil && !t.conn.Open():
		// The snapshot is lost, be it by the call's own doing: in the line a question
		// that fails takes back itself alone.
		t.behind, t.plain = true, true
	}
	return err
}

// usable reports why the transaction cannot go on.
func (t *tx) usable(ctx context.Context) error {
	switch {
	case t.over:
		return fault.From(errors.New("a transaction is used after its end"))
	case t.broken != nil:
		return t.store.gaveUp(t.broken)
	case t.behind:
		return errBehind
	case t.ahead != nil && t.ahead.unfit():
		return errAlone
	case ctx.Err() != nil:
		return ended(ctx)
	default:
		return nil
	}
}

// Get returns the record as this transaction sees it.
func (t *tx) Get(
	ctx context.Context, collection string, id ident.Record,
) (value.Record, error) {
	if err := t.usable(ctx); err != nil {
		return value.Record{}, err
	}
	tb, err := t.catalog.table(collection)
	if err != nil {
		return value.Record{}, err
	}
	seen, err := t.current(ctx, recordKey{tb, id})
	if err != nil {
		return value.Record{}, err
	}
	if seen.now.Zero() {
		return value.Record{}, absent(collection, id)
	}
	return seen.now.Clone(), nil
}

// Put writes a record.
func (t *tx) Put(
	ctx context.Context, collection string, r value.Record,
) (value.Record, error) {
	if err := t.usable(ctx); err != nil {
		return value.Record{}, err
	}
	tb, err := t.catalog.table(collection)
	if err != nil {
		return value.Record{}, err
	}
	if r, err = tb.own(r); err != nil {
		return value.Record{}, err
	}
	version := r.Slots[spec.SlotVersion]
	if version.Kind() == value.Absent || version.Kind() == value.Int && version.Int() == 0 {
		return t.insert(ctx, tb, r)
	}
	return t.update(ctx, tb, r, version)
}

// own returns the record in the table's own shape: the caller's may be another of
// the same names, made from the same app file.
func (t *table) own(r value.Record) (value.Record, error) {
	if r.Shape == t.shape {
		return r, nil
	}
	if r.Zero() {
		return r, fault.From(fmt.Errorf("put of no record into %s", t.Name))
	}
	out := value.NewRecord(t.shape)
	for i, f := range r.Shape.Fields() {
		if r.Slots[i].Kind() == value.Absent {
			continue
		}
		if !out.Set(f.Name, r.Slots[i]) {
			return out, fault.From(fmt.Errorf("%s has no field %q", t.Name, f.Name))
		}
	}
	return out, nil
}

// insert writes a new record.
func (t *tx) insert(ctx context.Context, tb *table, r value.Record) (value.Record, error) {
	id := ident.Record(r.Slots[spec.SlotID].Text())
	made := id == ""
	if made {
		id = ident.NewRecord()
	}
	k := recordKey{tb, id}
	if made {
		t.remember(k, value.Record{}) // nobody has it: there is nothing to ask
	}
	seen := t.known(k)
	if seen != nil && !seen.now.Zero() {
		return value.Record{}, tb.taken([]string{spec.FieldID})
	}
	after := value.NewRecord(tb.shape)
	after.Slots[spec.SlotID] = value.OfText(string(id))
	after.Slots[spec.SlotCreated] = ofTime(t.now)
	after.Slots[spec.SlotUpdated] = ofTime(t.now)
	after.Slots[spec.SlotVersion] = value.OfInt(1)
	for i := spec.SlotFirst; i < len(after.Slots); i++ {
		v, err := tb.slot(i, value.OfNull(), r.Slots[i])
		if err != nil {
			return value.Record{}, err
		}
		after.Slots[i] = v
	}
	t.slot = t.slot[:0]
	for i := range after.Slots {
		t.slot = append(t.slot, i)
	}
	if t.ahead != nil {
		if err := t.foresee(ctx, k, after, t.slot); err != nil {
			return value.Record{}, err
		}
	} else if err := t.exec(ctx, tb, after, tb.insert(t.slot), after.Slots); err != nil {
		return value.Record{}, err
	}
	if seen = t.known(k); seen == nil {
		seen = t.remember(k, value.Record{})
	}
	t.note(seen, after)
	return after.Clone(), nil
}

// update writes over a stored record.
func (t *tx) update(
	ctx context.Context, tb *table, r value.Record, version value.Value,
) (value.Record, error) {
	id := ident.Record(r.Slots[spec.SlotID].Text())
	seen, err := t.current(ctx, recordKey{tb, id})
	if err != nil {
		return value.Record{}, err
	}
	if seen.now.Zero() {
		return value.Record{}, absent(tb.Name, id)
	}
	stored := seen.now.Slots[spec.SlotVersion].Int()
	if version.Kind() == value.Int && version.Int() != stored {
		return value.Record{}, stale(stored)
	}
	after := seen.now.Clone()
	after.Slots[spec.SlotUpdated] = ofTime(t.now)
	after.Slots[spec.SlotVersion] = value.OfInt(stored + 1)
	t.slot = append(t.slot[:0], spec.SlotUpdated, spec.SlotVersion)
	for i := spec.SlotFirst; i < len(after.Slots); i++ {
		if r.Slots[i].Kind() == value.Absent {
			continue
		}
		v, err := tb.slot(i, after.Slots[i], r.Slots[i])
		if err != nil {
			return value.Record{}, err
		}
		if !v.Equal(after.Slots[i]) {
			after.Slots[i] = v
			t.slot = append(t.slot, i)
		}
	}
	k := recordKey{tb, id}
	if t.ahead != nil {
		if err := t.foresee(ctx, k, after, t.slot); err != nil {
			return value.Record{}, err
		}
	} else {
		t.args = t.args[:0]
		for _, i := range t.slot {
			t.args = append(t.args, after.Slots[i])
		}
		t.args = append(t.args, after.Slots[spec.SlotID])
		if err := t.exec(ctx, tb, after, tb.update(t.slot), t.args); err != nil {
			return value.Record{}, err
		}
	}
	t.note(t.known(k), after)
	return after.Clone(), nil
}

// stale is the fault of a write over another version.
func stale(stored int64) error {
	return &fault.Fault{Kind: fault.Stale,
		Message: "The record has been changed since.",
		Data:    []fault.Param{{Name: "version", Value: stored}}}
}

// note keeps what the record is now.
func (t *tx) note(seen *touched, now value.Record) {
	if !seen.written {
		t.writes = append(t.writes, t.place(seen))
	} else if t.ahead != nil {
		t.passes(seen, now)
	}
	seen.now, seen.written = now, true
	t.wrote, t.fresh = true, false
}

// passes notes that a record that was written is to be another. If it had a unique value
// that it will not have, that this was free is something that was read, which nothing that
// is written will find out.
func (t *tx) passes(c *touched, next value.Record) {
	if c.now.Zero() || t.passed && t.scansAll(c.table) {
		return
	}
	for _, set := range c.table.uniques {
		for _, i := range set {
			if next.Zero() || !next.Slots[i].Equal(c.now.Slots[i]) {
				t.passed = true
				t.scanAll(c.table)
				return
			}
		}
	}
}

// exec runs a write of the record and turns what stands against it into faults.
func (t *tx) exec(
	ctx context.Context, tb *table, r value.Record, sql string, args []value.Value,
) error {
	err := t.conn.Exec(sql, args)
	if err == nil {
		return nil
	}
	var p *Problem
	if errors.As(err, &p) && t.conn.Open() {
		switch p.Class {
		case Missing:
			return invalid(p.Columns, value.CodeRequired, "must not be null")
		case Taken, Dangling:
			// What is told first if there is more than one thing is not the database's to say.
			k := recordKey{tb, ident.Record(r.Slots[spec.SlotID].Text())}
			if told := t.foresee(ctx, k, r, t.slot); told != nil {
				return told
			}
			if p.Class == Taken {
				return tb.taken(p.Columns)
			}
		}
	}
	return t.broke(err)
}

// broke notes an error after which the transaction cannot be committed.
func (t *tx) broke(err error) error {
	t.broken = err
	return t.store.gaveUp(err)
}

// taken is the fault of a value that occurs already.
func (t *table) taken(columns []string) error {
	f := fault.New(fault.Exists, "There is already a record in %s with this value.", t.Name)
	for _, c := range columns {
		f.Items = append(f.Items, fault.Item{Pointer: "#/" + c, Code: "unique",
			Detail: "occurs already"})
	}
	return f
}

func invalid(columns []string, code, detail string) error {
	f := fault.New(fault.Invalid, "The input is not valid.")
	for _, c := range columns {
		f.Items = append(f.Items, fault.Item{Pointer: "#/" + c, Code: code, Detail: detail})
	}
	return f
}

// Intend adds an intent to the entry.
func (t *tx) Intend(ctx context.Context, i journal.Intent) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	t.intents = append(t.intents, i)
	return nil
}

// Reply sets the entry's reply.
func (t *tx) Reply(v value.Value) { t.reply = v }

// Changes returns what the transaction changed so far.
func (t *tx) Changes() []journal.Change {
	if t.fresh {
		return t.changes
	}
	n := 0
	for i := range t.touched {
		if t.touched[i].written {
			n++
		}
	}
	t.changes, t.fresh = nil, true
	if n == 0 {
		return nil
	}
	t.changes = make([]journal.Change, 0, n)
	for i := range t.touched {
		c := &t.touched[i]
		if !c.written || c.table.Quiet || c.before.Zero() && c.now.Zero() {
			continue
		}
		t.changes = append(t.changes, journal.Change{
			Collection: c.table.Name, ID: c.id, Before: c.before, After: c.now})
	}
	return t.changes
}
