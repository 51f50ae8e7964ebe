package follow

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// members knows which nodes live.
type members struct {
	mu   sync.Mutex
	seen map[ident.Record]sight
	// looked is when the records were last read, asked when somebody first asked about a
	// node that was not among them: it may have come since.
	looked time.Time
	asked  map[ident.Record]time.Time
}

// sight is when the record of a node was last seen to change.
type sight struct {
	version int64
	at      time.Time
}

// look notes the records of nodes as they stand, which were read from began on.
func (m *members) look(rows []value.Record, began, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looked = began
	for id, at := range m.asked {
		if began.Sub(at) > buryTime {
			delete(m.asked, id)
		}
	}
	next := make(map[ident.Record]sight, len(rows))
	for _, row := range rows {
		id := ident.Record(row.Slots[spec.SlotID].Text())
		version := row.Slots[spec.SlotVersion].Int()
		s, ok := m.seen[id]
		if !ok || s.version != version {
			s = sight{version, now}
		}
		next[id] = s
	}
	for id := range m.seen {
		if _, there := next[id]; !there {
			m.ask(id, began.Add(-1)) // it was there, and is known to have gone
		}
	}
	m.seen = next
}

// ask notes that a node is asked about which is not among those that were seen. The caller
// holds m.mu.
func (m *members) ask(id ident.Record, at time.Time) {
	if m.asked == nil {
		m.asked = map[ident.Record]time.Time{}
	}
	m.asked[id] = at
}

// alive reports whether a node has beaten since then.
func (m *members) alive(id ident.Record, since time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.seen[id]; ok {
		return s.at.After(since)
	}
	at, asked := m.asked[id]
	if !asked {
		m.ask(id, time.Now())
		return true // until the records were read again
	}
	return !m.looked.After(at)
}

// Beat is how often things are looked at that nobody tells of.
func (r *Runner) Beat() time.Duration { return r.cfg.Beat }

// Node is the id of this node.
func (r *Runner) Node() ident.Record { return r.node }

// Shared reports whether other nodes may be on the database.
func (r *Runner) Shared() bool { return r.cfg.Shared() }

// Alive reports whether a node lives, as far as is known here. Where no others can be
// on the database, this node alone lives.
func (r *Runner) Alive(node ident.Record) bool {
	switch {
	case node == r.node:
		return true
	case !r.cfg.Shared():
		return false
	default:
		return r.members.alive(node, time.Now().Add(-beatsMissed*r.cfg.Beat))
	}
}

// Living returns the nodes that live, as far as is known here.
func (r *Runner) Living() []ident.Record {
	all := []ident.Record{r.node}
	if !r.cfg.Shared() {
		return all
	}
	r.members.mu.Lock()
	defer r.members.mu.Unlock()
	since := time.Now().Add(-beatsMissed * r.cfg.Beat)
	for id, s := range r.members.seen {
		if id != r.node && s.at.After(since) {
			all = append(all, id)
		}
	}
	return all
}

// Beaten reports whether this node's own beat is fresh, so that no other takes it for
// gone.
func (r *Runner) Beaten() bool {
	return !r.cfg.Shared() || time.Since(time.Unix(0, r.beaten.Load())) < beatsMissed*r.cfg.Beat
}

// nodesPlan finds all nodes.
var nodesPlan = &query.Plan{From: Nodes, Limit: nodesMax}

// beat writes this node's record and reads those of all.
func (r *Runner) beat(ctx context.Context) error {
	began := time.Now()
	_, err := r.cfg.Store.Write(ctx, r.origin(Nodes), func(tx store.Tx) error {
		row := value.NewRecord(r.shapes[Nodes])
		row.Slots[spec.SlotID] = value.OfText(string(r.node))
		row.Slots[spec.SlotVersion] = value.OfNull()
		row.Set(fieldName, value.OfText(hostName()))
		_, err := tx.Put(ctx, Nodes, row)
		if fault.Is(err, fault.NotFound) {
			row.Slots[spec.SlotVersion] = value.Value{}
			_, err = tx.Put(ctx, Nodes, row)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("write the beat of this node: %w", err)
	}
	r.beaten.Store(began.UnixNano())
	var rows []value.Record
	began = time.Now()
	err = r.cfg.Store.Read(ctx, func(v store.View) error {
		rows, err = v.Find(ctx, query.Query{Plan: nodesPlan})
		return err
	})
	if err != nil {
		return fmt.Errorf("read the nodes: %w", err)
	}
	r.members.look(rows, began, time.Now())
	return r.bury(ctx, rows)
}

// bury takes away the records of nodes that have been gone for long. Where no others
// can be, they all are.
func (r *Runner) bury(ctx context.Context, rows []value.Record) error {
	var gone []ident.Record
	for _, row := range rows {
		id := ident.Record(row.Slots[spec.SlotID].Text())
		r.members.mu.Lock()
		quiet := time.Since(r.members.seen[id].at)
		r.members.mu.Unlock()
		if id != r.node && (!r.cfg.Shared() || quiet > buryTime) {
			gone = append(gone, id)
		}
	}
	return r.removeNodes(ctx, gone)
}

func (r *Runner) removeNodes(ctx context.Context, ids []ident.Record) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := r.cfg.Store.Write(ctx, r.origin(Nodes), func(tx store.Tx) error {
		for _, id := range ids {
			if err := tx.Delete(ctx, Nodes, id); err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take away the records of nodes: %w", err)
	}
	return nil
}

// hostName is how people know this node.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return fmt.Sprintf("%s/%d", name, os.Getpid())
}

// beats keeps this node alive until ctx ends. Alone on a database nobody asks.
func (r *Runner) beats(ctx context.Context) {
	tick := time.NewTicker(r.cfg.Beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !r.cfg.Shared() || r.halted.Load() {
			continue
		}
		if err := r.beat(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn("this node may be taken for gone", "cause", err)
		}
		r.Wake()
	}
}

// Halt ends the beats of this node, as if it stood still. It is for tests.
func (r *Runner) Halt() { r.halted.Store(true) }
