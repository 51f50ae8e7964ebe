package sqlstore

import (
	"context"

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

// along returns a record that came along, as it is in the snapshot.
func (t *tx) along(k recordKey) (value.Record, bool) {
	a := t.asker
	if a == nil || t.group != nil || !t.asked || a.recordKey != k || len(a.rows.records) == 0 {
		return value.Record{}, false
	}
	return a.rows.records[0], true
}
