package sqlstore

import "github.com/galleybackend/galley/internal/journal"

// ledgerMax is how many changed records a half of the ledger holds.
const ledgerMax = 4096

// ledger knows which records have changed of late, so that a call that ran on a
// snapshot can be told whether what it read still stands. It belongs to who holds the
// line. A change of a group that was given up stays in it, which costs a call that
// read the record a second run, and nothing else.
type ledger struct {
	// clock counts the calls that wrote.
	clock uint64
	// Records stand in two halves, of which the older is forgotten when the younger
	// is full. floor is the time of the last change that may be forgotten, turned
	// that of the last change in the older half.
	young, old    map[recordKey]uint64
	floor, turned uint64
	tables        map[*table]uint64
	// keys are those of the entries of other processes, and keyFloor is the time of the
	// last one that may be forgotten. quiet is when others may have changed quiet
	// records, which leave no entry.
	keys     map[claim]uint64
	keyFloor uint64
	quiet    uint64
}

// foreign notes what another process has committed.
func (l *ledger) foreign(c *catalog, e *journal.Entry) {
	l.clock++
	for i := range e.Changes {
		if t := c.tables[e.Changes[i].Collection]; t != nil {
			l.change(recordKey{t, e.Changes[i].ID})
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
		l.change(t.touched[i].recordKey)
	}
}

// change notes that a record changed now.
func (l *ledger) change(k recordKey) {
	if l.young == nil || len(l.young) >= ledgerMax {
		l.floor, l.turned = l.turned, l.clock
		l.old, l.young = l.young, make(map[recordKey]uint64, ledgerMax)
	}
	if l.tables == nil {
		l.tables = map[*table]uint64{}
	}
	l.young[k] = l.clock
	l.tables[k.table] = l.clock
}

// reset forgets the records of a catalog that is no more.
func (l *ledger) reset() {
	l.clock++
	*l = ledger{clock: l.clock, floor: l.clock, turned: l.clock, keyFloor: l.clock}
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
	for _, tb := range t.scans {
		if l.tables[tb] > since || tb.Quiet && l.quiet > since {
			return false
		}
	}
	for i := range t.touched {
		k := t.touched[i].recordKey
		if k.table.Quiet && l.quiet > since {
			return false
		}
		if l.tables[k.table] > since && (l.young[k] > since || l.old[k] > since) {
			return false
		}
	}
	return true
}
