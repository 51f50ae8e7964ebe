package follow

import (
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

func TestANodeThatNobodyHasSeenYetIsNotTakenForGone(t *testing.T) {
	shape := Shapes(Collections())[Nodes]
	beat := func(id ident.Record, version int64) value.Record {
		row := value.NewRecord(shape)
		row.Slots[spec.SlotID] = value.OfText(string(id))
		row.Slots[spec.SlotVersion] = value.OfInt(version)
		return row
	}
	var m members
	look := func(rows ...value.Record) {
		now := time.Now()
		m.look(rows, now, now)
	}
	long := time.Now().Add(-time.Hour)
	look(beat("a", 1))
	if !m.alive("a", long) || !m.alive("new", long) {
		t.Error("a node that was seen, or may have come since, is taken for gone")
	}
	look(beat("a", 2), beat("new", 1))
	if !m.alive("new", long) {
		t.Error("a node that came is taken for gone")
	}
	// One whose record went has gone, and one that never came was never there.
	if !m.alive("never", long) {
		t.Error("nobody has looked since")
	}
	look(beat("a", 3))
	for _, id := range []ident.Record{"new", "never"} {
		if m.alive(id, long) {
			t.Errorf("%s is alive", id)
		}
	}
	if m.alive("a", time.Now().Add(time.Hour)) {
		t.Error("a node whose beat is old is alive")
	}
}
