package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// reshape changes the schema of the target as an entry did in the source. While only
// a part has been copied, nothing but what changes no table can be done.
func (m *mover) reshape(ctx context.Context, f *sqlstore.Filler, e journal.Entry) error {
	steps, err := m.rows.Steps(e)
	if err != nil || steps == nil {
		return err
	}
	if m.mark.Phase == phaseCopy {
		for _, s := range steps {
			if s.Kind != spec.Adopt && s.Kind != spec.ChangeChecks {
				return errAgain
			}
		}
		return f.Apply(ctx, steps)
	}
	if err := f.Loosen(); err != nil {
		return err
	}
	if err := f.Apply(ctx, steps); err != nil {
		return fmt.Errorf("entry %v: %w", e.Seq, err)
	}
	return f.Bind(ctx)
}

// bind makes the constraints of relations, once all that was copied is of one state.
// What the journal says nothing of may point at what has gone meanwhile.
func (m *mover) bind(schema *spec.Schema) error {
	return m.fill(m.ctx, func(f *sqlstore.Filler) error {
		for range schema.Collections {
			for _, t := range schema.Collections {
				if !t.Quiet {
					continue
				}
				if err := f.Prune(t.Name); err != nil {
					return err
				}
			}
		}
		if err := f.Bind(m.ctx); err != nil {
			return err
		}
		m.mark.Phase = phaseFollow
		return m.keep(f)
	})
}

// follow brings the target near to the source, and compares the two in one state.
func (m *mover) follow() error {
	compared := false
	for range roundsMax {
		near := false
		err := m.From.Snapshot(m.ctx, func(p *sqlstore.Snapshot) error {
			start := time.Now()
			if err := m.catchUp(m.ctx, p, "follow", compared); err != nil {
				return err
			}
			if near = compared && time.Since(start) <= nearTime; compared {
				return nil
			}
			compared = true
			if err := m.compare(p); err != nil {
				return err
			}
			return m.quiet(m.ctx, p)
		})
		if err != nil || near {
			return err
		}
	}
	return fault.New(fault.Unavailable, "The copy does not keep up with the writes: it is still "+
		"more than %v behind after %d rounds. Run it again when there are fewer.",
		nearTime, roundsMax)
}

// compare asks that the journal and each collection are the same in both databases.
func (m *mover) compare(p *sqlstore.Snapshot) error {
	return m.To.Snapshot(m.ctx, func(to *sqlstore.Snapshot) error {
		if to.Seq != p.Seq || to.Spec != p.Spec {
			return fmt.Errorf("the copy is at entry %v, and not at %v", to.Seq, p.Seq)
		}
		want, n, err := p.Hash(m.ctx)
		if err != nil {
			return err
		}
		if got, _, err := to.Hash(m.ctx); err != nil || got != want {
			return errors.Join(errors.New("the journal is another in the copy"), err)
		}
		m.out.Entries, m.out.Journal = n, want
		for _, t := range sorted(p.Schema()) {
			if t.Quiet {
				continue
			}
			want, n, err := p.Sum(m.ctx, t.Name)
			if err != nil {
				return err
			}
			got, _, err := to.Sum(m.ctx, t.Name)
			if err != nil {
				return err
			}
			if !got.Equal(want) {
				return fmt.Errorf("the records of %s are others in the copy", t.Name)
			}
			m.out.Records[t.Name], m.out.Sums[t.Name] = n, want.String()
			m.Report(Progress{"compare", t.Name, n})
		}
		return nil
	})
}

// leave lets the writes wait, copies what came last, and leaves the source.
func (m *mover) leave() error {
	var late error
	for range pauseTries {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		start := time.Now()
		// Whoever asked for the move may go now: it is decided.
		bound, stop := context.WithTimeout(context.WithoutCancel(m.ctx), pauseMax)
		err := m.From.Leave(bound, m.Name, func(p *sqlstore.Snapshot) error {
			return m.last(bound, p)
		})
		over := bound.Err() != nil
		stop()
		m.out.Pause = time.Since(start)
		switch {
		case err == nil:
			// Who took the target over since has it as it is.
			return m.To.Fill(context.WithoutCancel(m.ctx), whole)
		case errors.Is(err, sqlstore.ErrMoved):
			return m.overtook(err)
		case !over:
			return err
		}
		late = err
		m.mark.Phase = phaseFollow
		if err := m.follow(); err != nil {
			return err
		}
	}
	return fmt.Errorf("the last entries and the sessions were not copied within %v: %w",
		pauseMax, late)
}

// whole takes away what says that the target is not whole.
func whole(f *sqlstore.Filler) error { return f.Mark(sqlstore.MarkFilling, "") }

// overtook ends a move that took the target over from another one, which then left the
// source for it.
func (m *mover) overtook(cause error) error {
	err := m.From.Snapshot(m.ctx, func(p *sqlstore.Snapshot) error {
		if p.Marks[sqlstore.MarkMoved] != m.Name {
			return cause
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.finish()
}

// finish copies what is left of a source to which nobody writes any more.
func (m *mover) finish() error {
	err := m.From.Snapshot(m.ctx, func(p *sqlstore.Snapshot) error { return m.last(m.ctx, p) })
	if err != nil {
		return err
	}
	return m.fill(m.ctx, whole)
}

// last copies what is left while nobody writes.
func (m *mover) last(ctx context.Context, p *sqlstore.Snapshot) error {
	m.Report(Progress{Phase: "pause"})
	if err := m.catchUp(ctx, p, "pause", true); err != nil {
		return err
	}
	if err := m.quiet(ctx, p); err != nil {
		return err
	}
	return m.fill(ctx, func(f *sqlstore.Filler) error {
		m.mark.Phase = phaseReady
		return errors.Join(f.Mark(sqlstore.MarkEpoch, m.mark.From), m.keep(f))
	})
}

// quiet makes the collections without a journal in the target what they are in the
// source.
func (m *mover) quiet(ctx context.Context, p *sqlstore.Snapshot) error {
	for _, t := range sorted(p.Schema()) {
		if !t.Quiet {
			continue
		}
		// Who points comes after that at which he points only if all of them fit; if
		// not, they are written anew.
		if m.even(ctx, p, t.Name) == nil {
			continue
		}
		if err := m.anew(ctx, p, t.Name); err != nil {
			return fmt.Errorf("copy %s: %w", t.Name, err)
		}
	}
	return nil
}

// even compares a collection page by page and writes what differs.
func (m *mover) even(ctx context.Context, p *sqlstore.Snapshot, name string) error {
	var page []value.Record
	last := ident.Record("")
	flush := func(more bool) error {
		upTo := ident.Record("")
		if more {
			upTo = idOf(page[len(page)-1])
		}
		err := m.fill(ctx, func(f *sqlstore.Filler) error {
			return evenPage(ctx, f, name, last, upTo, page)
		})
		page, last = page[:0], upTo
		return err
	}
	err := p.Records(ctx, name, "", func(r value.Record) error {
		if page = append(page, r.Clone()); len(page) < chunkMax {
			return nil
		}
		return flush(true)
	})
	if err != nil {
		return err
	}
	return flush(false)
}

func idOf(r value.Record) ident.Record { return ident.Record(r.Slots[spec.SlotID].Text()) }

// evenPage makes the records after one id and up to another, or to the end, what they
// are in the page.
func evenPage(
	ctx context.Context, f *sqlstore.Filler, name string, after, upTo ident.Record,
	page []value.Record,
) error {
	want := make(map[ident.Record]string, len(page))
	for _, r := range page {
		want[idOf(r)] = string(value.AppendRecord(nil, r))
	}
	there, err := f.Between(ctx, name, after, upTo)
	if err != nil {
		return err
	}
	var gone []ident.Record
	for _, r := range there {
		id := idOf(r)
		if want[id] == string(value.AppendRecord(nil, r)) {
			delete(want, id)
		} else {
			gone = append(gone, id)
		}
	}
	for _, id := range gone {
		if err := f.Delete(name, id); err != nil {
			return err
		}
	}
	for _, r := range page {
		if _, missing := want[idOf(r)]; missing {
			if err := f.Insert(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// anew copies a collection whole.
func (m *mover) anew(ctx context.Context, p *sqlstore.Snapshot, name string) error {
	return m.fill(ctx, func(f *sqlstore.Filler) error {
		if err := errors.Join(f.Defer(), f.Truncate(name)); err != nil {
			return err
		}
		return p.Records(ctx, name, "", func(r value.Record) error { return f.Insert(r) })
	})
}
