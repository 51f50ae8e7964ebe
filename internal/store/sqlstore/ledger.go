package sqlstore

import (
	"slices"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// A half of the ledger holds so many changed records, and so many bytes of them.
const (
	ledgerMax   = 4096
	ledgerBytes = 16 << 20
)

// ledger knows which records have changed of late, so that a call that ran on a
// snapshot can be told whether what it read still stands. It belongs to who holds the
// line.
type ledger struct {
	// clock counts the calls that wrote.
	clock uint64
	// Records stand in two halves, of which the older is forgotten when the younger
	// is full. floor is the time of the last change that may be forgotten, turned
	// that of the last change in the older half.
	young, old map[recordKey]change
	weight     int
	// youngLog and oldLog are the changes of the halves in the order of their time.
	youngLog, oldLog []moment
	floor, turned    uint64
	tables           map[*table]uint64
	// keys are those of the entries of other processes, and keyFloor is the time of the
	// last one that may be forgotten. quiet is when others may have changed quiet
	// records, which leave no entry.
	keys     map[claim]uint64
	keyFloor uint64
	quiet    uint64
}

// moment is when a record changed.
type moment struct {
	at uint64
	recordKey
}

// change is what has become of a record, and when.
type change struct {
	at  uint64
	now value.Record
}

// foreign notes what another process has committed. What was noted of a time before a
// change of the shapes is not what is stored any more.
func (l *ledger) foreign(c *catalog, e *journal.Entry) {
	for i := range e.Intents {
		if e.Intents[i].Kind == store.IntentApply {
			l.reset()
			return
		}
	}
	l.clock++
	for i := range e.Changes {
		if t := c.tables[e.Changes[i].Collection]; t != nil {
			if now, err := t.own(e.Changes[i].After); err == nil || e.Changes[i].After.Zero() {
				l.change(recordKey{t, e.Changes[i].ID}, now)
			}
		}
	}
	if e.Origin.Key == "" {
		return
	}
	if l.keys == nil || len(l.keys) >= ledgerMax {
		l.keys, l.keyFloor = map[claim]uint64{}, l.clock
	}
	l.keys[claimOf(&e.Origin)] = l.clock
}

// quieted notes that another process had its turn.
func (l *ledger) quieted() {
	l.clock++
	l.quiet = l.clock
}

// free reports whether no other process has used the key after the time since.
func (l *ledger) free(c claim, since uint64) bool {
	return since >= l.keyFloor && since >= l.floor && l.keys[c] <= since
}

// add notes what a call wrote.
func (l *ledger) add(t *tx) {
	l.clock++
	for _, i := range t.writes {
		l.change(t.touched[i].recordKey, t.touched[i].now)
	}
}

// change notes what a record is from now on.
func (l *ledger) change(k recordKey, now value.Record) {
	if l.young == nil || len(l.young) >= ledgerMax || l.weight >= ledgerBytes ||
		len(l.youngLog) >= 4*ledgerMax {
		l.youngLog, l.oldLog = l.oldLog[:0], l.youngLog
		l.floor, l.turned = l.turned, l.clock
		l.old, l.young, l.weight = l.young, make(map[recordKey]change, ledgerMax), 0
	}
	l.weight += weight(now.Slots)
	if l.tables == nil {
		l.tables = map[*table]uint64{}
	}
	l.young[k] = change{l.clock, now}
	l.tables[k.table] = l.clock
	l.youngLog = append(l.youngLog, moment{l.clock, k})
}

// weight is about how many bytes values take.
func weight(values []value.Value) int {
	n := 48 * len(values)
	for i := range values {
		n += len(values[i].Text()) + weight(values[i].List()) + weight(values[i].Record().Slots)
	}
	return n
}

// latest returns what is known to have become of a record of late.
func (l *ledger) latest(k recordKey) (change, bool) {
	c, ok := l.young[k]
	if !ok {
		c, ok = l.old[k]
	}
	return c, ok
}

// unsure reports whether others may have changed a record after a time without that
// being known.
func (l *ledger) unsure(k recordKey, since uint64) bool {
	return since < l.floor || k.table.Quiet && l.quiet > since
}

// still reports whether nothing in a table has changed after the time since.
func (l *ledger) still(t *table, since uint64) bool {
	return !l.unsure(recordKey{table: t}, since) && l.tables[t] <= since
}

// reset forgets the records of a catalog that is no more, or of a group that was given
// up.
func (l *ledger) reset() {
	l.clock++
	*l = ledger{clock: l.clock, floor: l.clock, turned: l.clock, keyFloor: l.clock,
		quiet: l.quiet}
}

// stands reports whether nothing that the call read or wrote has changed after the
// time since.
func (l *ledger) stands(t *tx, since uint64) bool {
	if since == l.clock {
		return true
	}
	if since < l.floor {
		return false
	}
	for i := range t.scans {
		if l.meets(&t.scans[i], since) {
			return false
		}
	}
	for i := range t.touched {
		k := t.touched[i].recordKey
		if k.table.Quiet && l.quiet > since {
			return false
		}
		if l.tables[k.table] > since && (l.young[k].at > since || l.old[k].at > since) {
			return false
		}
	}
	return true
}

// meets reports whether a scan might find something else than at the time since.
func (l *ledger) meets(s *scan, since uint64) bool {
	if l.still(s.table, since) {
		return false
	}
	if s.same == nil || l.unsure(recordKey{table: s.table}, since) {
		return true
	}
	return l.meetsIn(l.youngLog, s, since) || l.meetsIn(l.oldLog, s, since)
}

func (l *ledger) meetsIn(log []moment, s *scan, since uint64) bool {
	for i := len(log) - 1; i >= 0 && log[i].at > since; i-- {
		k := log[i].recordKey
		if k.table != s.table {
			continue
		}
		last, _ := l.latest(k)
		if slices.Contains(s.found, k.id) || !last.now.Zero() && s.meant(last.now) {
			return true
		}
	}
	return false
}
