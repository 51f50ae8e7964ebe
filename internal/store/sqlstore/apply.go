package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Apply changes the shape of the records. It has the line for itself: no write runs
// meanwhile, and no reader sees a state between.
func (s *Store) Apply(
	ctx context.Context, origin journal.Origin, steps []spec.Step, judge func(store.View) error,
) (journal.Entry, error) {
	if err := s.begin(); err != nil {
		return journal.Entry{}, err
	}
	defer s.calls.Done()
	origin.Now = millis(origin.Now)
	if origin.Key != "" {
		done, err := s.claims.take(ctx, claimOf(&origin))
		if err != nil {
			return journal.Entry{}, err
		}
		defer done()
		held, err := s.holder(ctx, &origin)
		if err != nil {
			return journal.Entry{}, err
		}
		if held != nil {
			return replay(&origin, held)
		}
	}
	var entry journal.Entry
	err := s.exclusive(ctx, func() (err error) {
		entry, err = s.reshape(ctx, origin, steps, judge)
		return err
	})
	return entry, err
}

// reshape runs the steps in one transaction.
func (s *Store) reshape(
	ctx context.Context, origin journal.Origin, steps []spec.Step, judge func(store.View) error,
) (journal.Entry, error) {
	before := s.catalog.Load()
	m, err := newMigration(s.dialect, before, steps)
	if err != nil {
		return journal.Entry{}, fault.From(err)
	}
	payload, err := store.FormatSteps(steps)
	if err != nil {
		return journal.Entry{}, fault.From(err)
	}
	entry := journal.Entry{At: origin.Now, Origin: origin, Spec: m.next.hash,
		Intents: []journal.Intent{
			{Kind: store.IntentApply, Name: m.next.hash, Payload: payload}}}
	w := s.writer
	if err := w.References(false); err != nil {
		return journal.Entry{}, s.gaveUp(err)
	}
	defer func() {
		if err := w.References(true); err != nil {
			s.fail(err)
		}
	}()
	g := &group{}
	if err := s.open(g, true); err != nil {
		return journal.Entry{}, errors.Join(s.gaveUp(err), w.Rollback())
	}
	if s.catalog.Load() != before {
		// Whatever the rollback says, this is the error.
		_ = w.Rollback()
		return journal.Entry{}, &fault.Fault{Kind: fault.Unavailable, RetryAfter: 1,
			Message: "Another change of the schema came first. Nothing was done."}
	}
	if judge != nil {
		if err := judge(&view{store: s, conn: w, catalog: before, asked: true}); err != nil {
			return journal.Entry{}, errors.Join(err, w.Rollback())
		}
	}
	entry.Seq = seqOf(s.head + 1)
	kept, err := s.rebuild(ctx, m, &entry)
	if err != nil || origin.DryRun {
		return entry, errors.Join(err, w.Rollback())
	}
	s.head++
	g.entries = []*journal.Entry{&entry} // by it the commit is known again
	if !s.shared {                       // else readers find out by themselves
		s.shape.Lock()
		defer s.shape.Unlock()
	}
	if err := s.commit(g, m.next.hash); err != nil {
		s.head--
		// Whatever the rollback says, the commit's error stands.
		_ = w.Rollback()
		return journal.Entry{}, err
	}
	s.catalog.Store(m.next)
	s.ledger.reset()
	s.settled.Store(s.ledger.clock)
	s.feed.publish([]*journal.Entry{kept}, s.head)
	if err := s.dialect.Tidy(w); classOf(err) == Broken {
		s.fail(err)
	}
	return entry, nil
}

// rebuild does everything but the commit.
func (s *Store) rebuild(
	ctx context.Context, m *migration, entry *journal.Entry,
) (*journal.Entry, error) {
	if s.shared {
		m.bar = s.bar
	}
	err := m.run(ctx, s.writer)
	if err == nil && s.shared {
		err = s.unbar(m.next.hash)
	}
	if err != nil {
		return nil, s.migrating(ctx, err)
	}
	bad, err := s.writer.Dangling(ctx)
	if err != nil {
		return nil, s.migrating(ctx, err)
	}
	if len(bad) > 0 {
		return nil, dangling(bad[0])
	}
	text, err := json.Marshal(m.next.schema)
	if err != nil {
		return nil, fault.From(err)
	}
	err = s.writer.Exec("INSERT INTO "+s.dialect.Quote(tableSchemas)+" (hash, schema) VALUES ("+
		s.dialect.Placeholder(1)+", "+s.dialect.Placeholder(2)+") ON CONFLICT DO NOTHING",
		[]value.Value{value.OfText(m.next.hash), value.OfText(string(text))})
	if err != nil {
		return nil, s.migrating(ctx, err)
	}
	kept, err := s.insertEntry(entry)
	if err != nil {
		return nil, s.migrating(ctx, err)
	}
	return kept, nil
}

// migrating turns what stands against a migration into a fault.
func (s *Store) migrating(ctx context.Context, err error) error {
	var p *Problem
	if !errors.As(err, &p) {
		return err
	}
	switch p.Class {
	case Taken:
		return fault.Wrap(fault.Invalid, err,
			"A unique value occurs more than once: %v.", p.Columns)
	case Missing:
		return fault.Wrap(fault.Invalid, err,
			"Records have no value for the required %v.", p.Columns)
	case Interrupted:
		return ended(ctx)
	case Other:
		return fault.From(err)
	default:
		return s.gaveUp(err)
	}
}

// migration is a list of steps as moves of whole collections.
type migration struct {
	dialect Dialect
	before  *catalog
	next    *catalog
	moves   []*move
	drops   []*table
	// bar, if it is there, is called before anything is done of which readers see.
	bar func() error
	// loose leaves relations alone that are constraints of their own.
	loose bool
}

// move is how a collection comes to its new form.
type move struct {
	// from is nil for a new collection.
	from *table
	to   *table
	// sources says where each field's values come from.
	sources map[string]source
}

// source is where the values of a field come from.
type source struct {
	// field is the old name; "" for a new field.
	field string
	fill  value.Value
	from  *value.Type
	to    *value.Type
}

// newMigration reads steps. The last one names the schema to which they lead.
func newMigration(d Dialect, before *catalog, steps []spec.Step) (*migration, error) {
	if len(steps) == 0 || steps[len(steps)-1].Kind != spec.Adopt ||
		steps[len(steps)-1].Schema == nil {
		return nil, errors.New("the steps do not end with a schema")
	}
	next, err := newCatalog(d, steps[len(steps)-1].Schema)
	if err != nil {
		return nil, err
	}
	m := &migration{dialect: d, before: before, next: next}
	moves := map[string]*move{}
	for _, t := range before.tables {
		mv := &move{from: t, sources: map[string]source{}}
		for i := range t.shape.Fields() {
			f := &t.shape.Fields()[i]
			mv.sources[f.Name] = source{field: f.Name, from: &f.Type, to: &f.Type}
		}
		moves[t.Name] = mv
	}
	for _, s := range steps[:len(steps)-1] {
		if err := m.step(moves, s); err != nil {
			return nil, fmt.Errorf("step %s of %s: %w", s.Kind, s.Collection, err)
		}
	}
	return m, m.aim(moves)
}

// step takes one step on the moves.
func (m *migration) step(moves map[string]*move, s spec.Step) error {
	mv := moves[s.Collection]
	switch s.Kind {
	case spec.AddCollection:
		if mv != nil {
			return errors.New("it is there already")
		}
		moves[s.Collection] = &move{sources: map[string]source{}}
		return nil
	case spec.RenameCollection:
		if mv = moves[s.From]; mv == nil {
			return fmt.Errorf("there is no %q", s.From)
		}
		delete(moves, s.From)
		moves[s.Collection] = mv
		return nil
	}
	if mv == nil {
		return errors.New("it is not there")
	}
	switch s.Kind {
	case spec.DropCollection:
		m.drops = append(m.drops, mv.from)
		delete(moves, s.Collection)
	case spec.AddField:
		mv.sources[s.Field] = source{fill: s.Fill, to: s.Type}
	case spec.DropField:
		delete(mv.sources, s.Field)
	case spec.RenameField:
		mv.sources[s.Field] = mv.sources[s.From]
		delete(mv.sources, s.From)
	case spec.ChangeField:
		src := mv.sources[s.Field]
		src.fill, src.to = s.Fill, s.Type
		mv.sources[s.Field] = src
	case spec.ChangeIndexes, spec.ChangeChecks:
	default:
		return errors.New("it is unknown")
	}
	return nil
}

// aim gives each move its new table and asks that none is left over.
func (m *migration) aim(moves map[string]*move) error {
	for _, name := range slices.Sorted(maps.Keys(m.next.tables)) {
		t := m.next.tables[name]
		mv := moves[name]
		if mv == nil {
			return fmt.Errorf("no step leads to the collection %q", name)
		}
		delete(moves, name)
		mv.to = t
		m.moves = append(m.moves, mv)
		for i := range t.shape.Fields() {
			f := &t.shape.Fields()[i]
			src, ok := mv.sources[f.Name]
			if !ok && mv.from != nil {
				return fmt.Errorf("no step leads to the field %s.%s", name, f.Name)
			}
			src.to = &f.Type
			mv.sources[f.Name] = src
		}
	}
	for name := range moves {
		return fmt.Errorf("no step drops the collection %q", name)
	}
	return nil
}
