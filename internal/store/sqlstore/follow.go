package sqlstore

import (
	"context"
	"iter"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// pageMax is how many entries are read at a time.
const pageMax = 128

// Follow yields the entries after a place as they are committed.
func (s *Store) Follow(
	ctx context.Context, after journal.Seq,
) iter.Seq2[journal.Entry, error] {
	return s.follow(ctx, after, s.page)
}

// Intents yields the entries with intents after a place, and of others the places.
func (s *Store) Intents(
	ctx context.Context, after journal.Seq,
) iter.Seq2[journal.Entry, error] {
	all := s.follow(ctx, after, s.intents)
	return func(yield func(journal.Entry, error) bool) {
		for e, err := range all {
			if err == nil && len(e.Intents) == 0 {
				e = journal.Entry{Seq: e.Seq}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// follow yields the entries after a place: those that are near from memory, others as
// page reads them.
func (s *Store) follow(
	ctx context.Context, after journal.Seq,
	page func(ctx context.Context, after uint64) ([]journal.Entry, error),
) iter.Seq2[journal.Entry, error] {
	return func(yield func(journal.Entry, error) bool) {
		at := after.Lo
		var near []*journal.Entry
		for ctx.Err() == nil {
			var known bool
			var wake <-chan struct{}
			near, known, wake = s.feed.after(at, near[:0])
			switch {
			case wake != nil:
				select {
				case <-wake:
				case <-ctx.Done():
				case <-s.closing:
					return
				}
			case known:
				for _, e := range near {
					at = e.Seq.Lo
					if ctx.Err() != nil || !yield(*e, nil) {
						return
					}
				}
			default:
				found, err := page(ctx, at)
				if err != nil {
					if ctx.Err() == nil && !s.ends() {
						yield(journal.Entry{}, err)
					}
					return
				}
				for _, e := range found {
					at = e.Seq.Lo
					if ctx.Err() != nil || !yield(e, nil) {
						return
					}
				}
			}
		}
	}
}

// ends reports whether the store is being closed.
func (s *Store) ends() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// page reads the next entries from the database.
func (s *Store) page(ctx context.Context, after uint64) (out []journal.Entry, err error) {
	err = s.Read(ctx, func(v store.View) error {
		out, err = v.(*view).page(ctx, after)
		return err
	})
	return out, err
}

func (v *view) page(ctx context.Context, after uint64) ([]journal.Entry, error) {
	d := v.store.dialect
	return v.entries(ctx, " WHERE seq > "+d.Placeholder(1)+" ORDER BY seq LIMIT "+
		d.Placeholder(2), []value.Value{value.OfInt(int64(after)), value.OfInt(pageMax)})
}

// intents reads the next entries with intents from the database. If there are few left,
// the head's place stands behind them.
func (s *Store) intents(ctx context.Context, after uint64) (out []journal.Entry, err error) {
	d := s.dialect
	args := []value.Value{value.OfInt(int64(after)), value.OfInt(pageMax)}
	err = s.Read(ctx, func(sv store.View) error {
		v := sv.(*view)
		out, err = v.entries(ctx, " WHERE seq > "+d.Placeholder(1)+" AND intents IS NOT NULL"+
			" ORDER BY seq LIMIT "+d.Placeholder(2), args)
		if err != nil || len(out) == pageMax {
			return err
		}
		return v.query(ctx, "SELECT max(seq) FROM "+d.Quote(tableJournal), nil, func(r Row) error {
			if head := uint64(r.Int(0)); head > after &&
				(len(out) == 0 || out[len(out)-1].Seq.Lo < head) {
				out = append(out, journal.Entry{Seq: seqOf(head)})
			}
			return nil
		})
	})
	return out, err
}

// entries reads the entries of a condition in one view.
func (s *Store) entries(
	ctx context.Context, rest string, args []value.Value,
) (out []journal.Entry, err error) {
	err = s.Read(ctx, func(v store.View) error {
		out, err = v.(*view).entries(ctx, rest, args)
		return err
	})
	return out, err
}

func (v *view) entries(
	ctx context.Context, rest string, args []value.Value,
) ([]journal.Entry, error) {
	s := v.store
	var found raws
	if err := v.query(ctx, s.sqlEntries(rest), args, found.add); err != nil {
		return nil, s.reading(ctx, err)
	}
	out := make([]journal.Entry, len(found))
	for i := range found {
		if err := s.decode(ctx, v.conn, &found[i]); err != nil {
			return nil, err
		}
		out[i] = found[i].entry
	}
	return out, nil
}

// raws are rows of entries as they come.
type raws []raw

func (f *raws) add(r Row) error {
	*f = append(*f, readRaw(r))
	return nil
}

// sqlEntries selects entries.
func (s *Store) sqlEntries(rest string) string {
	return "SELECT " + entryColumns + " FROM " + s.dialect.Quote(tableJournal) + rest
}

// holder returns the entry that holds the origin's key, or nil.
func (s *Store) holder(
	ctx context.Context, o *journal.Origin,
) (held *journal.Entry, err error) {
	err = s.Read(ctx, func(v store.View) error {
		held, err = v.(*view).holder(ctx, o)
		return err
	})
	return held, err
}

func (v *view) holder(ctx context.Context, o *journal.Origin) (*journal.Entry, error) {
	found, err := v.entries(ctx, v.store.sqlHeld(), heldBy(o))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// sqlHeld is the condition of the entry that holds a key, heldBy its arguments.
func (s *Store) sqlHeld() string {
	d := s.dialect
	return " WHERE subject = " + d.Placeholder(1) + " AND operation = " + d.Placeholder(2) +
		" AND key = " + d.Placeholder(3) + " AND held = 1"
}

func heldBy(o *journal.Origin) []value.Value {
	return []value.Value{
		value.OfText(o.Subject.String()), value.OfText(o.Operation), value.OfText(o.Key)}
}

// EntryOf returns the entry of a call, or a fault of kind NotFound: a call that was
// refused without a key, or that only read, left none.
func (s *Store) EntryOf(ctx context.Context, call ident.Call) (journal.Entry, error) {
	found, err := s.entries(ctx, " WHERE call = "+s.dialect.Placeholder(1)+
		" ORDER BY seq DESC LIMIT 1", []value.Value{value.OfText(string(call))})
	if err != nil {
		return journal.Entry{}, err
	}
	if len(found) == 0 {
		return journal.Entry{}, fault.New(fault.NotFound, "No entry of the call %s.", call)
	}
	return found[0], nil
}
