package sqlstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// notes is a catalog of one collection with a text.
func notes(t *testing.T) (*catalog, *table) {
	t.Helper()
	shape := value.NewShape("notes", []value.Field{
		{Name: spec.FieldID, Type: value.Type{Kind: value.TypeID}},
		{Name: "text", Type: value.Type{Kind: value.TypeText}}})
	tb := &table{Table: &spec.Table{Name: "notes", Shape: shape}, shape: shape}
	return &catalog{tables: map[string]*table{"notes": tb}}, tb
}

func note(tb *table, id, text string) value.Record {
	r := value.NewRecord(tb.shape)
	r.Slots[0], r.Slots[1] = value.OfText(id), value.OfText(text)
	return r
}

// TestTheLedgerIsBounded notes many records, and large ones.
func TestTheLedgerIsBounded(t *testing.T) {
	_, tb := notes(t)
	large := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		text       string
		records    int
		kept, over int
	}{{"small", 5 * ledgerMax, ledgerMax, 2 * ledgerMax},
		{large, 200, ledgerBytes/len(large) - 1, 2*ledgerBytes/len(large) + 2}} {
		var l ledger
		var keys []recordKey
		for n := range c.records {
			l.clock++
			k := recordKey{tb, ident.Record(fmt.Sprint(n))}
			keys = append(keys, k)
			l.change(k, note(tb, string(k.id), c.text))
		}
		if n := len(l.young) + len(l.old); n < c.kept || n > c.over {
			t.Errorf("%d bytes each: %d records are kept, want %d to %d", len(c.text), n, c.kept,
				c.over)
		}
		// What is forgotten is not taken for unchanged.
		for n, k := range keys {
			seen := &tx{touched: []touched{{recordKey: k}}}
			if l.stands(seen, uint64(n)) {
				t.Fatalf("%d bytes each: record %d changed at %d and stands since %d",
					len(c.text), n, n+1, n)
			}
			if !l.stands(seen, l.clock) {
				t.Fatalf("record %d does not stand now", n)
			}
		}
	}
}

// TestWhatOthersDidBeforeAChangeOfShapeIsForgotten notes a record in its old shape: as
// it was then it is not stored any more.
func TestWhatOthersDidBeforeAChangeOfShapeIsForgotten(t *testing.T) {
	cat, tb := notes(t)
	var l ledger
	changed := func(id string) *journal.Entry {
		return &journal.Entry{Origin: journal.Origin{Key: id, Operation: "write"},
			Changes: []journal.Change{{Collection: "notes", ID: ident.Record(id),
				After: note(tb, id, "old")}}}
	}
	since := l.clock
	l.foreign(cat, changed("a"))
	l.foreign(cat, &journal.Entry{Intents: []journal.Intent{{Kind: store.IntentApply}}})
	after := l.clock
	l.foreign(cat, changed("b"))
	a, b := recordKey{tb, "a"}, recordKey{tb, "b"}
	if got, ok := l.latest(a); ok {
		t.Errorf("got %v of before the change", got.now)
	}
	if _, ok := l.latest(b); !ok {
		t.Error("what came after the change is not known")
	}
	other := &tx{touched: []touched{{recordKey: recordKey{tb, "c"}}}}
	if l.stands(other, since) || !l.unsure(a, since) {
		t.Error("what was read before the change stands")
	}
	if !l.stands(other, after) || l.stands(&tx{touched: []touched{{recordKey: b}}}, after) {
		t.Error("after the change, what stands is not what did not change")
	}
	if l.free(claim{operation: "write", key: "a"}, since) {
		t.Error("a key that was used before the change is free")
	}
}

// TestANarrowScanMeetsWhatItLooksFor changes records beside a scan for one text.
func TestANarrowScanMeetsWhatItLooksFor(t *testing.T) {
	_, tb := notes(t)
	for _, c := range []struct {
		name, id, text string
		wide, meets    bool
	}{
		{"another", "b", "other", false, false},
		{"another goes", "b", "", false, false},
		{"another becomes one", "b", "mine", false, true},
		{"a new one", "new", "mine", false, true},
		{"one found", "a", "mine", false, true},
		{"one found becomes another", "a", "other", false, true},
		{"one found goes", "a", "", false, true},
		{"another, for a wide scan", "b", "other", true, true},
	} {
		for _, turned := range []bool{false, true} {
			var l ledger
			set := func(id, text string) {
				l.clock++
				now := value.Record{}
				if text != "" {
					now = note(tb, id, text)
				}
				l.change(recordKey{tb, ident.Record(id)}, now)
			}
			set("a", "mine")
			set("b", "some")
			since := l.clock
			s := &scan{table: tb, same: []same{{1, value.OfText("mine")}},
				found: []ident.Record{"a"}}
			if c.wide {
				s.same = nil
			}
			if l.meets(s, since) {
				t.Errorf("%s: what was before counts", c.name)
			}
			set(c.id, c.text)
			for n := 0; turned && l.turned == 0; n++ { // until it stands in the older half
				set(fmt.Sprint("n", n), "none")
			}
			if got := l.meets(s, since); got != c.meets {
				t.Errorf("%s, turned %v: meets is %v", c.name, turned, got)
			}
		}
	}
	// One record that changes without end is no reason to remember without end.
	var l ledger
	for range 20 * ledgerMax {
		l.clock++
		l.change(recordKey{tb, "a"}, note(tb, "a", "mine"))
	}
	if n := len(l.youngLog) + len(l.oldLog); n > 8*ledgerMax {
		t.Errorf("%d changes are kept", n)
	}
}

// TestAScanWithALimitEnds changes records before and behind the last that was looked at.
func TestAScanWithALimitEnds(t *testing.T) {
	whole := value.Type{Kind: value.TypeInt}
	shape := value.NewShape("notes", []value.Field{
		{Name: spec.FieldID, Type: value.Type{Kind: value.TypeID}}, {Name: "of", Type: whole},
		{Name: "n", Type: whole}, {Name: "maybe", Type: value.Type{Kind: value.TypeInt,
			Optional: true}}})
	tb := &table{Table: &spec.Table{Name: "notes", Shape: shape}, shape: shape}
	c := &catalog{tables: map[string]*table{"notes": tb}}
	field := func(name string) query.Expr {
		return query.Field{Of: query.Row{}, Collection: "notes", Name: name, Type: whole}
	}
	row := func(id string, n int64) value.Record {
		r := value.NewRecord(shape)
		r.Slots[0], r.Slots[1] = value.OfText(id), value.OfInt(1)
		r.Slots[2], r.Slots[3] = value.OfInt(n), value.OfInt(n)
		return r
	}
	for _, x := range []struct {
		by      string
		desc    bool
		limit   int
		changed int64
		meets   bool
	}{
		{"n", false, 2, 30, false}, {"n", false, 2, 20, true}, {"n", false, 2, 5, true},
		{"n", true, 2, 30, true}, {"n", true, 2, 5, false},
		{"n", false, 3, 30, true}, {"n", false, 0, 30, true}, {"maybe", false, 2, 30, true},
	} {
		found := []value.Record{row("a", 10), row("b", 20)}
		if x.desc {
			found[0], found[1] = row("b", 20), row("a", 10)
		}
		plan := &query.Plan{From: "notes", Limit: x.limit,
			Where: query.Same{L: field("of"), R: query.Literal{Value: value.OfInt(1)}},
			Sort:  []query.Order{{By: field(x.by), Desc: x.desc}}}
		call := &tx{view: view{store: &Store{}}, ahead: &snapshot{}}
		call.found(query.Query{Plan: plan}, &statement{narrow: c.narrow(plan)}, found)
		var l ledger
		l.clock++
		l.change(recordKey{tb, "new"}, row("new", x.changed))
		if got := !l.stands(call, 0); got != x.meets {
			t.Errorf("%+v: got %v", x, got)
		}
	}
}
