package live

import (
	"context"
	"strconv"
	"strings"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

type set = map[*topic]struct{}

// index finds the topics that a change of a collection's record may touch.
type index map[string]*place

// place is the topics of one collection: those of which nothing is known, and by the
// value at the end of a path of fields.
type place struct {
	all   set
	paths map[string]*path
}

type path struct {
	steps  []engine.Step
	topics map[string]set
}

func pathKey(steps []engine.Step) string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.Field
	}
	return strings.Join(names, ".")
}

// valueKey is equal for values that are the same.
func valueKey(v value.Value) string {
	if v.Kind() == value.Float && v.Float() == float64(int64(v.Float())) {
		return strconv.FormatInt(int64(v.Float()), 10)
	}
	if v.Kind() == value.Text {
		return v.Text()
	}
	return string(value.AppendJSON(nil, v))
}

func (x index) at(collection string) *place {
	p := x[collection]
	if p == nil {
		p = &place{all: set{}, paths: map[string]*path{}}
		x[collection] = p
	}
	return p
}

func (x index) add(t *topic) {
	p := x.at(t.watch.Collection())
	if t.term == nil {
		p.all[t] = struct{}{}
		return
	}
	key := pathKey(t.term.Path)
	at := p.paths[key]
	if at == nil {
		at = &path{t.term.Path, map[string]set{}}
		p.paths[key] = at
	}
	insert(at.topics, valueKey(t.term.Value), t)
}

func insert(to map[string]set, key string, t *topic) {
	if to[key] == nil {
		to[key] = set{}
	}
	to[key][t] = struct{}{}
}

func remove(from map[string]set, key string, t *topic) {
	delete(from[key], t)
	if len(from[key]) == 0 {
		delete(from, key)
	}
}

func (x index) drop(t *topic) {
	p := x[t.watch.Collection()]
	if p == nil {
		return
	}
	if t.term == nil {
		delete(p.all, t)
	} else if at := p.paths[pathKey(t.term.Path)]; at != nil {
		remove(at.topics, valueKey(t.term.Value), t)
		if len(at.topics) == 0 {
			delete(p.paths, pathKey(t.term.Path))
		}
	}
	if len(p.all) == 0 && len(p.paths) == 0 {
		delete(x, t.watch.Collection())
	}
}

// gone reads what is there, and of records that entries deleted what they were last: a
// path from a record as it was before goes through them.
type gone struct {
	rule.Reader
	entries []*journal.Entry
	// deleted are those of the entries, nil until one of them is looked for.
	deleted map[engine.Held]value.Record
}

// Get returns the record as it is, or as it was when it was deleted.
func (g *gone) Get(ctx context.Context, collection string, id ident.Record) (value.Record, error) {
	rec, err := g.Reader.Get(ctx, collection, id)
	if err == nil || !notFound(err) {
		return rec, err
	}
	if g.deleted == nil {
		g.deleted = map[engine.Held]value.Record{}
		for _, e := range g.entries {
			for i := range e.Changes {
				if c := &e.Changes[i]; c.After.Zero() {
					g.deleted[engine.Held{Collection: c.Collection, ID: c.ID}] = c.Before
				}
			}
		}
	}
	if was, ok := g.deleted[engine.Held{Collection: collection, ID: id}]; ok {
		return was, nil
	}
	return rec, err
}

// touch calls fn with each topic that a change may touch, some maybe twice. The reader is
// that of a state after the change, which also knows what was deleted since.
func (x index) touch(ctx context.Context, r rule.Reader, c *journal.Change, fn func(*topic)) error {
	p := x[c.Collection]
	if p == nil {
		return nil
	}
	for t := range p.all {
		fn(t)
	}
	for _, at := range p.paths {
		before, ok, err := follow(ctx, r, at.steps, c.Before)
		if err == nil && ok {
			for t := range at.topics[before] {
				fn(t)
			}
		}
		after, too := "", false
		if err == nil {
			after, too, err = follow(ctx, r, at.steps, c.After)
		}
		if notFound(err) { // where the path went is told by an entry that is yet to come
			at.each(fn)
			continue
		}
		if err != nil {
			return err
		}
		if too && !(ok && after == before) {
			for t := range at.topics[after] {
				fn(t)
			}
		}
	}
	return nil
}

// each calls fn with all topics of a path.
func (p *path) each(fn func(*topic)) {
	for _, some := range p.topics {
		for t := range some {
			fn(t)
		}
	}
}

// follow returns the key of the value to which the steps lead from a record.
func follow(ctx context.Context, r rule.Reader, steps []engine.Step, rec value.Record) (
	string, bool, error) {
	for i, s := range steps {
		if rec.Zero() {
			return "", false, nil
		}
		v := rec.Get(s.Field)
		if v.IsNull() {
			return "", false, nil
		}
		if i == len(steps)-1 {
			return valueKey(v), true, nil
		}
		var err error
		if rec, err = r.Get(ctx, steps[i+1].Collection, recordID(v)); err != nil {
			return "", false, err
		}
	}
	return "", false, nil
}

// uses finds the topics that must ask again after a change of a record that is not among
// theirs, but at which their rules look.
type uses map[string]*use

type use struct {
	all   map[*topic]int
	bound map[string]map[string]set
}

func (u uses) add(t *topic) {
	for i := range t.facts.Sources {
		s := &t.facts.Sources[i]
		at := u[s.Collection]
		if at == nil {
			at = &use{all: map[*topic]int{}, bound: map[string]map[string]set{}}
			u[s.Collection] = at
		}
		if !s.Bound {
			at.all[t]++
			continue
		}
		if at.bound[s.Field] == nil {
			at.bound[s.Field] = map[string]set{}
		}
		insert(at.bound[s.Field], valueKey(s.Value), t)
	}
}

func (u uses) drop(t *topic) {
	for i := range t.facts.Sources {
		s := &t.facts.Sources[i]
		at := u[s.Collection]
		if at == nil {
			continue
		}
		if !s.Bound {
			delete(at.all, t)
		} else if by := at.bound[s.Field]; by != nil {
			remove(by, valueKey(s.Value), t)
			if len(by) == 0 {
				delete(at.bound, s.Field)
			}
		}
		if len(at.all) == 0 && len(at.bound) == 0 {
			delete(u, s.Collection)
		}
	}
}

// touch calls fn with each topic that the change concerns, some maybe twice.
func (u uses) touch(c *journal.Change, fn func(*topic)) {
	at := u[c.Collection]
	if at == nil {
		return
	}
	ask := func(t *topic) {
		for i := range t.facts.Sources {
			s := &t.facts.Sources[i]
			if s.Collection == c.Collection && s.Matters(c.ID, c.Before, c.After) {
				fn(t)
				return
			}
		}
	}
	for t := range at.all {
		ask(t)
	}
	for field, by := range at.bound {
		for _, rec := range []value.Record{c.Before, c.After} {
			if !rec.Zero() {
				for t := range by[valueKey(fieldOf(rec, field))] {
					ask(t)
				}
			}
		}
	}
}

func fieldOf(r value.Record, field string) value.Value {
	if field == spec.FieldID {
		return r.Slots[spec.SlotID]
	}
	return r.Get(field)
}
