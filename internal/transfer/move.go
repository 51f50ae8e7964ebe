package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// Bounds of a move.
const (
	// chunkMax is how many rows are written in one commit, chunkBytes about how many
	// bytes.
	chunkMax   = 1000
	chunkBytes = 4 << 20
	// nearTime is how long the target may take to catch up with the source before the
	// writes wait for it, and roundsMax how often it is tried to come that near.
	nearTime  = 500 * time.Millisecond
	roundsMax = 50
	// pauseMax bounds how long writes wait for the last entries, pauseTries how often
	// that is tried.
	pauseMax   = 3 * time.Second
	pauseTries = 5
)

// Source is the database that is left.
type Source interface {
	Snapshot(ctx context.Context, fn func(*sqlstore.Snapshot) error) error
	Leave(ctx context.Context, to string, fn func(*sqlstore.Snapshot) error) error
}

// Target is the database that is filled. It must be closed after the move, and
// opened again to be used.
type Target interface {
	Snapshot(ctx context.Context, fn func(*sqlstore.Snapshot) error) error
	Fill(ctx context.Context, fn func(*sqlstore.Filler) error) error
}

// Progress is how far a move has come.
type Progress struct {
	// Phase is copy, follow, compare or pause, What the collection or the journal.
	Phase string `json:"phase"`
	What  string `json:"what,omitempty"`
	// Done counts rows.
	Done int64 `json:"done"`
}

// Moved is what a move came to.
type Moved struct {
	Seq string `json:"seq"`
	// Entries and Journal are the number of the entries when they were compared, and
	// their hash; Records and Sums those of the collections.
	Entries int64             `json:"entries,omitempty"`
	Journal string            `json:"journal,omitempty"`
	Records map[string]int64  `json:"records,omitempty"`
	Sums    map[string]string `json:"sums,omitempty"`
	// Pause is how long writes waited for the last entries.
	Pause time.Duration `json:"pause"`
}

// Move copies everything from one database to another while the first is written to,
// and leaves the first one. It goes on where an earlier one was broken off, whatever
// broke it.
//
//	copy → follow → compare → pause: last entries, quiet collections → leave → done
//
// What is in the target is, at any time, what was in the source at the place of the
// target's last entry: the copy of a collection goes on from a later state only after
// what was copied before has followed to that state.
type Move struct {
	From Source
	To   Target
	// Name is the address of the target as the source is to tell it.
	Name string
	// Report is told how far the move has come; nil means nobody is.
	Report func(Progress)
}

// mark is what the target remembers of a move.
type mark struct {
	// From is the epoch of the source.
	From  string `json:"from"`
	Phase phase  `json:"phase"`
	// By names the move that fills the target: the one that began last.
	By string `json:"by,omitempty"`
	// Made says that the collections are there.
	Made bool `json:"made,omitempty"`
	// Collection and Last are how far records have been copied, by the order of names
	// and of ids.
	Collection string       `json:"collection,omitempty"`
	Last       ident.Record `json:"last,omitempty"`
}

// phase is where a move stands.
type phase string

const (
	phaseCopy   phase = "copy"
	phaseFollow phase = "follow"
	// phaseReady says that the target has everything: the source is being left, or
	// was.
	phaseReady phase = "ready"
)

// covers reports whether a record has been copied, or would have been if it had been
// there.
func (m mark) covers(collection string, id ident.Record) bool {
	return m.Phase != phaseCopy || collection < m.Collection ||
		collection == m.Collection && id <= m.Last
}

// mover is a move that runs.
type mover struct {
	Move
	ctx  context.Context
	mark mark
	// by is the name of this move, and gone says that the source has been left for the
	// target, so that nobody writes to it.
	by   string
	gone bool
	// at is the place of the target's last entry.
	at   journal.Seq
	rows sqlstore.Rows
	out  Moved
}

// errAgain asks for the copy to begin anew.
var errAgain = errors.New("the schema was changed while it was copied")

// Run moves.
func (v Move) Run(ctx context.Context) (Moved, error) {
	m := &mover{Move: v, ctx: ctx, by: string(ident.NewCall()),
		out: Moved{Records: map[string]int64{}, Sums: map[string]string{}}}
	if m.Report == nil {
		m.Report = func(Progress) {}
	}
	left, err := m.begin()
	if err != nil || left {
		return m.out, err
	}
	for {
		err := m.copy()
		if err == nil {
			break
		}
		if !errors.Is(err, errAgain) {
			return m.out, err
		}
		if err := m.clear(); err != nil {
			return m.out, err
		}
	}
	if err := m.follow(); err != nil {
		return m.out, err
	}
	if m.gone {
		return m.out, m.finish()
	}
	return m.out, m.leave()
}

// fill changes the target, unless another move has taken it over, or has come to its end.
func (m *mover) fill(ctx context.Context, fn func(*sqlstore.Filler) error) error {
	return m.To.Fill(ctx, func(f *sqlstore.Filler) error {
		marks, err := f.Marks(ctx)
		if err != nil {
			return err
		}
		var now mark
		text := marks[sqlstore.MarkFilling]
		if text == "" || json.Unmarshal([]byte(text), &now) != nil || now.By != m.by {
			return fault.WithCode(fault.Conflict, CodeOvertaken,
				"Another move into this database has begun since this one did.")
		}
		return fn(f)
	})
}

// CodeOvertaken is the code of a move in whose place another one has begun.
const CodeOvertaken = "overtaken"

// begin looks at both databases. left says that the source has been left for this
// target before, so that nothing is to be done any more.
func (m *mover) begin() (left bool, err error) {
	var marks map[string]string
	var schema *spec.Schema
	err = m.From.Snapshot(m.ctx, func(p *sqlstore.Snapshot) error {
		marks, schema = p.Marks, p.Schema()
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("look at the database to leave: %w", err)
	}
	gone := marks[sqlstore.MarkMoved]
	if gone != "" && gone != m.Name {
		return false, fault.WithCode(fault.Conflict, sqlstore.CodeMoved,
			"This database was moved to %s before. To go on from there:  --from %[1]s", gone)
	}
	if err := m.room(schema); err != nil {
		return false, err
	}
	err = m.To.Fill(m.ctx, func(f *sqlstore.Filler) error {
		left, err = m.meet(f, marks[sqlstore.MarkEpoch], gone != "")
		return err
	})
	return left, err
}

// errRoom takes back what room has tried.
var errRoom = errors.New("there is room")

// room asks whether the collections can be made in a target that is empty, where there may
// be tables of others. It leaves nothing there, so that a target that cannot be used
// stays what it is.
func (m *mover) room(schema *spec.Schema) error {
	err := m.To.Fill(m.ctx, func(f *sqlstore.Filler) error {
		head, err := f.Head(m.ctx)
		if err == nil && head == (journal.Seq{}) {
			err = f.Make(m.ctx, schema)
		}
		if err != nil {
			return err
		}
		return errRoom
	})
	if errors.Is(err, errRoom) {
		return nil
	}
	return err
}

// meet looks at the target, and takes it or goes on with it.
func (m *mover) meet(f *sqlstore.Filler, epoch string, gone bool) (left bool, err error) {
	if m.at, err = f.Head(m.ctx); err != nil {
		return false, err
	}
	m.out.Seq = m.at.String()
	there, err := f.Marks(m.ctx)
	if err != nil {
		return false, err
	}
	text := there[sqlstore.MarkFilling]
	switch {
	case text != "":
		if err := json.Unmarshal([]byte(text), &m.mark); err != nil {
			return false, fmt.Errorf("read how far the move has come: %w", err)
		}
		if m.mark.From != epoch {
			return false, fault.New(fault.Conflict,
				"The move into this database is one from another database.")
		}
		if gone && m.mark.Phase == phaseReady {
			return true, f.Mark(sqlstore.MarkFilling, "")
		}
		if m.mark.Phase == phaseReady {
			m.mark.Phase = phaseFollow
		}
	case gone && there[sqlstore.MarkEpoch] == epoch:
		return true, nil
	case there[sqlstore.MarkMoved] != "" && there[sqlstore.MarkEpoch] == epoch:
		// Everything came from here once: what is missing is what came since.
		m.mark = mark{From: epoch, Phase: phaseFollow, Made: true}
		if err := f.Mark(sqlstore.MarkMoved, ""); err != nil {
			return false, err
		}
	case m.at != journal.Seq{}:
		return false, fault.WithCode(fault.Conflict, CodeNotEmpty,
			"The database to move to is not empty: its journal ends at entry %v. Name an empty one; "+
				"on a server another schema will do:  ?schema=NAME after the address.", m.at)
	default:
		m.mark = mark{From: epoch, Phase: phaseCopy}
	}
	if gone && text == "" {
		return false, fault.WithCode(fault.Conflict, sqlstore.CodeMoved,
			"This database was moved, and the other one does not have everything.")
	}
	m.gone = gone
	return false, m.keep(f)
}

// CodeNotEmpty is the code of a move into a database that is in use.
const CodeNotEmpty = "not_empty"

// keep writes down how far the move has come.
func (m *mover) keep(f *sqlstore.Filler) error {
	m.mark.By = m.by
	text, err := json.Marshal(m.mark)
	if err != nil {
		return err
	}
	return f.Mark(sqlstore.MarkFilling, string(text))
}

// clear lets the copy begin anew.
func (m *mover) clear() error {
	m.mark = mark{From: m.mark.From, Phase: phaseCopy}
	m.at = journal.Seq{}
	return m.fill(m.ctx, func(f *sqlstore.Filler) error {
		if err := f.Clear(m.ctx); err != nil {
			return err
		}
		return m.keep(f)
	})
}

// copy copies what has not been copied yet, from one state.
func (m *mover) copy() error {
	if m.mark.Phase != phaseCopy {
		return nil
	}
	return m.From.Snapshot(m.ctx, func(p *sqlstore.Snapshot) error {
		if err := m.catchUp(m.ctx, p, "copy", false); err != nil {
			return err
		}
		if !m.mark.Made {
			err := m.fill(m.ctx, func(f *sqlstore.Filler) error {
				m.mark.Made = true
				return errors.Join(f.Make(m.ctx, p.Schema()), m.keep(f))
			})
			if err != nil {
				return err
			}
		}
		for _, t := range sorted(p.Schema()) {
			if t.Name < m.mark.Collection {
				continue
			}
			if err := m.copyRecords(p, t.Name); err != nil {
				return fmt.Errorf("copy %s: %w", t.Name, err)
			}
		}
		return m.bind(p.Schema())
	})
}

// sorted returns the collections in the order in which they are copied.
func sorted(s *spec.Schema) []*spec.Table {
	return slices.SortedFunc(slices.Values(s.Collections), func(a, b *spec.Table) int {
		return strings.Compare(a.Name, b.Name)
	})
}

// copyRecords copies the records of a collection from where it was broken off.
func (m *mover) copyRecords(p *sqlstore.Snapshot, name string) error {
	if m.mark.Collection != name {
		m.mark.Collection, m.mark.Last = name, ""
	}
	done, size := int64(0), 0
	var page []value.Record
	flush := func() error {
		if len(page) == 0 {
			return nil
		}
		err := m.fill(m.ctx, func(f *sqlstore.Filler) error {
			for _, r := range page {
				if err := f.Insert(r); err != nil {
					return err
				}
			}
			m.mark.Last = ident.Record(page[len(page)-1].Slots[spec.SlotID].Text())
			return m.keep(f)
		})
		done += int64(len(page))
		page, size = page[:0], 0
		m.Report(Progress{"copy", name, done})
		return err
	}
	err := p.Records(m.ctx, name, m.mark.Last, func(r value.Record) error {
		page, size = append(page, r.Clone()), size+weight(r.Slots)
		if len(page) < chunkMax && size < chunkBytes {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// weight is about how many bytes values take.
func weight(row []value.Value) (n int) {
	for _, v := range row {
		switch v.Kind() {
		case value.List, value.Object:
			n += len(value.AppendJSON(nil, v))
		default:
			n += 8 + len(v.Text())
		}
	}
	return n
}

// catchUp copies the entries up to the snapshot, and does again what they did to
// records that were copied. If it is careful, each record must be what the entry says
// it was before.
func (m *mover) catchUp(ctx context.Context, p *sqlstore.Snapshot, phase string, careful bool) error {
	if m.at == p.Seq {
		return nil
	}
	err := m.fill(ctx, func(f *sqlstore.Filler) error {
		return p.Schemas(ctx, func(hash, text string) error {
			return errors.Join(m.rows.Schema(hash, text), f.Schema(hash, text))
		})
	})
	if err != nil {
		return err
	}
	var page [][]value.Value
	size := 0
	intents := slices.IndexFunc(sqlstore.JournalColumns(), func(c sqlstore.Column) bool {
		return c.Name == "intents"
	})
	flush := func() error {
		if len(page) == 0 {
			return nil
		}
		err := m.fill(ctx, func(f *sqlstore.Filler) error {
			if m.mark.Phase != phaseCopy {
				if err := f.Defer(); err != nil {
					return err
				}
			}
			if err := m.again(ctx, f, page, careful); err != nil {
				return err
			}
			return m.keep(f)
		})
		if err == nil {
			m.at = journal.Seq{Lo: uint64(page[len(page)-1][0].Int())}
			m.out.Seq = m.at.String()
			m.Report(Progress{phase, "journal", page[len(page)-1][0].Int()})
		}
		page, size = page[:0], 0
		return err
	}
	err = p.Entries(ctx, m.at, func(row []value.Value) error {
		// A change of the schema has a commit for itself.
		alone := m.mark.Made && row[intents].Text() != ""
		if alone {
			if err := flush(); err != nil {
				return err
			}
		}
		page, size = append(page, slices.Clone(row)), size+weight(row)
		if len(page) < chunkMax && size < chunkBytes && !alone {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// again copies entries, and does what they did.
func (m *mover) again(
	ctx context.Context, f *sqlstore.Filler, page [][]value.Value, careful bool,
) error {
	var changes []journal.Change
	for _, row := range page {
		if err := f.Entry(row); err != nil {
			return err
		}
		if !m.mark.Made {
			continue
		}
		e, err := m.rows.Entry(row)
		if err != nil {
			return err
		}
		if err := m.reshape(ctx, f, e); err != nil {
			return err
		}
		changes = append(changes, e.Changes...)
	}
	gone := map[string][]ident.Record{}
	for _, c := range changes {
		if c.After.Zero() {
			gone[c.Collection] = append(gone[c.Collection], c.ID)
		}
	}
	for collection, ids := range gone {
		if err := f.Detach(ctx, collection, ids); err != nil {
			return err
		}
	}
	changes = slices.DeleteFunc(changes, func(c journal.Change) bool {
		return !m.mark.covers(c.Collection, c.ID)
	})
	if careful {
		if err := expect(ctx, f, changes); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := f.Change(c); err != nil {
			return fmt.Errorf("%s of %s: %w", c.ID, c.Collection, err)
		}
	}
	return nil
}

// expect asks that each record is, before the changes, what they say it was.
func expect(ctx context.Context, f *sqlstore.Filler, changes []journal.Change) error {
	first := map[string]map[ident.Record]value.Record{}
	for _, c := range changes {
		if first[c.Collection] == nil {
			first[c.Collection] = map[ident.Record]value.Record{}
		}
		if _, known := first[c.Collection][c.ID]; !known {
			first[c.Collection][c.ID] = c.Before
		}
	}
	for collection, want := range first {
		is, err := f.Some(ctx, collection, slices.Collect(maps.Keys(want)))
		if err != nil {
			return err
		}
		for id, before := range want {
			if string(value.AppendRecord(nil, is[id])) != string(value.AppendRecord(nil, before)) {
				return fmt.Errorf("the record %s of %s is another in the copy", id, collection)
			}
		}
	}
	return nil
}
