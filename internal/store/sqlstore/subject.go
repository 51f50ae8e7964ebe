package sqlstore

import (
	"context"
	"slices"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// asker is the record of who asks. Most calls look at it, so that it comes along with the
// first answer. It counts as read only when it is looked at.
type asker struct {
	recordKey
	rows rows
}

// expectAsker has the record of who asks come with the answer to the next question.
func (t *tx) expectAsker(ctx context.Context, who ident.Subject) error {
	tb := t.catalog.tables[spec.Users]
	if !t.store.shared || tb == nil || who.Who != ident.User {
		return nil
	}
	t.asker = &asker{recordKey{tb, who.ID}, rows{reader: tb.reader}}
	return t.conn.Expect(ctx, tb.get, []value.Value{value.OfText(string(who.ID))},
		t.asker.rows.add)
}

// along returns a record that came along, or that a query has found, as it is in the
// snapshot, or in the line for a call that runs there again.
func (t *tx) along(k recordKey) (value.Record, bool) {
	if t.ahead == nil || !t.asked || t.stale {
		return value.Record{}, false
	}
	if a := t.asker; a != nil && t.group == nil && a.recordKey == k && len(a.rows.records) > 0 {
		return a.rows.records[0], true
	}
	for _, f := range t.finds {
		if f.query.Plan.Out != nil || f.query.Plan.From != k.table.Name {
			continue
		}
		for _, r := range f.rows {
			if r.Slots[spec.SlotID].Text() == string(k.id) {
				return r, true
			}
		}
	}
	return value.Record{}, false
}

// unheard reports whether a record points by one of the slots to another that this call
// makes: no stored record does.
func (t *tx) unheard(tb *table, r value.Record, slots []int) bool {
	for _, i := range slots {
		to := t.catalog.tables[tb.shape.Fields()[i].Type.Of]
		if to == nil || !slices.Contains(tb.relations, i) {
			continue
		}
		seen := t.known(recordKey{to, ident.Record(r.Slots[i].Text())})
		if seen != nil && seen.written && seen.before.Zero() && !seen.now.Zero() {
			return true
		}
	}
	return false
}
