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
				page, err := s.page(ctx, at)
				if err != nil {
					if ctx.Err() == nil && !s.ends() {
						yield(journal.Entry{}, err)
					}
					return
				}
				for _, e := range page {
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
	var found []raw
	err := v.query(ctx, "SELECT "+entryColumns+" FROM "+s.dialect.Quote(tableJournal)+
		rest, args, func(r Row) error {
		found = append(found, readRaw(r))
		return nil
	})
	if err != nil {
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
	d := v.store.dialect
	found, err := v.entries(ctx, " WHERE subject = "+d.Placeholder(1)+" AND operation = "+
		d.Placeholder(2)+" AND key = "+d.Placeholder(3)+" AND held = 1", []value.Value{
		value.OfText(o.Subject.String()), value.OfText(o.Operation), value.OfText(o.Key)})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
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
