package engine

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Watch is a list that can be kept true: it answers again in another state, and judges
// one record in memory. One that is Whole is computed again instead. It is not safe for
// concurrent use.
type Watch struct {
	engine  *Engine
	loaded  *loaded
	call    Call
	subject ident.Subject
	op      *operation
	params  params
	list    *listing
	// keep are the fields that are wanted, and the id, by which a client knows what it has.
	keep   []bool
	groups *grouping
	rules  []involved
	key    string
	timed  bool
	// args are those of the last answer, all those and its rules', of which the facts
	// are; version counts them.
	args    []value.Value
	all     []value.Value
	version int
	facts   Facts
	took    time.Duration
}

// Row is one record of a watched list.
type Row struct {
	ID   ident.Record
	Item Item
	// Keys are the record's values by which the list is sorted; the last is its id.
	Keys []value.Value
}

// Rows are the answer to a watched list in one state.
type Rows struct {
	// At is the place of the state.
	At   journal.Seq
	Rows []Row
	// More reports that the list goes on behind its limit.
	More bool
	// Held are the records that were looked for beside the rows, by collection and id,
	// whether the caller may see them or not.
	Held []Held
}

// Held is a record that an expansion looks for.
type Held struct {
	Collection string
	ID         ident.Record
}

// Watch answers a List like Query, and returns what keeps the answer true. A list with a
// cursor or a total cannot be watched. A view, and an Aggregate, may be asked for, and
// has no rows: its watch is Whole, and only the place is told up to which its Value is to
// know everything, none for one that is kept.
func (e *Engine) Watch(ctx context.Context, call Call) (*Watch, Rows, error) {
	if err := e.enter(); err != nil {
		return nil, Rows{}, err
	}
	defer e.leave()
	if call.Verb != Aggregate {
		call.Verb = List
	}
	r := e.begin(call)
	defer r.leave()
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	var w *Watch
	var rows Rows
	err := e.store.Read(ctx, func(v store.View) (err error) {
		op, err := r.admitted(ctx, v)
		if err != nil {
			return err
		}
		r.stage("read")
		if w, err = r.watch(op); err != nil {
			return err
		}
		if w.Whole() {
			rows.At, err = w.admits(ctx, r, v)
			return err
		}
		l := &Look{engine: e, view: v, known: v}
		if l.at, err = v.Head(ctx); err != nil {
			return err
		}
		if call.Known != nil {
			if found, ok := call.Known(w.key, l.at); ok {
				rows = found
				return nil
			}
		}
		rows, err = w.answer(ctx, l)
		return err
	})
	if err != nil {
		return nil, Rows{}, r.end("", err)
	}
	r.call.Seen.End()
	return w, rows, nil
}

// Identify returns who makes a call: the subject of its credential.
func (e *Engine) Identify(ctx context.Context, call Call) (ident.Subject, error) {
	if err := e.enter(); err != nil {
		return ident.Subject{}, err
	}
	defer e.leave()
	r := e.begin(call)
	if err := r.identify(ctx); err != nil {
		return ident.Subject{}, fault.From(err)
	}
	return r.subject, nil
}

func (r *run) watch(op *operation) (*Watch, error) {
	if op.view != nil || op.verb == Aggregate {
		return r.watchWhole(op)
	}
	p, err := readParams(op.coll, r.call.Params, listParams, true)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{paramCursor, paramTotal} {
		if p.has(name) {
			return nil, errParam(name, 0, "What is followed has no parameter %s.", name)
		}
	}
	key, kept, err := r.compiled(op, &p, func() (any, error) { return r.listing(op.coll, p) })
	if err != nil {
		return nil, err
	}
	w := &Watch{engine: r.engine, loaded: r.loaded, call: r.own, subject: r.subject, op: op,
		params: p, list: kept.(*listing)}
	if w.keep = slices.Clone(w.list.keep); w.keep != nil {
		w.keep[spec.SlotID] = true
	}
	w.call.Seen, w.call.Credential, w.call.Known = nil, "", nil
	w.rules = r.involved(&w.list.selection, w.list.tree)
	w.key = w.name(key)
	return w, nil
}

// involved returns the rules on which the list depends: who may read its records, their
// fields, and what stands beside them.
func (r *run) involved(l *selection, tree []*branch) []involved {
	var out []involved
	if l.judge != nil {
		out = append(out, newInvolved(l.judge, true))
	}
	if r.free() {
		return out
	}
	for _, x := range l.apart { // without them the filter itself is refused
		out = append(out, newInvolved(x.rule, false))
	}
	seen := map[string]bool{}
	add := func(c *app.Collection, shown bool) {
		if c == nil || c.Read == nil || seen[c.Name] {
			return
		}
		seen[c.Name] = true
		out = append(out, newInvolved(c.Read, shown))
		for i := range c.Fields {
			if x := c.Fields[i].Read; x != nil {
				out = append(out, newInvolved(x, false))
			}
		}
	}
	add(l.coll, true)
	var beside func(tree []*branch)
	beside = func(tree []*branch) {
		for _, b := range tree {
			add(b.to, b.to == l.coll)
			beside(b.next)
		}
	}
	beside(tree)
	if l.judge != nil { // it follows relations only into what may be read
		for _, name := range l.judge.Reads() {
			if c := r.Collection(name); c != nil && c.Read != nil && !seen[name] {
				seen[name] = true
				out = append(out, newInvolved(c.Read, true))
			}
		}
	}
	return out
}

// name is the key of the watch: what it says, with its values, and as much of who asks
// as its rules look at.
func (w *Watch) name(plan string) string {
	var b strings.Builder
	b.WriteString(plan)
	if a := w.params.filter.args; !a.Zero() {
		b.Write(value.AppendRecord([]byte{0}, a))
	}
	for _, name := range w.params.equal {
		b.WriteString("\x00" + name + "\x00" + w.params.get(name))
	}
	var auth, request bool
	for i := range w.rules {
		a := &w.rules[i].asker
		auth, request, w.timed = auth || a.Auth, request || a.Request, w.timed || a.Now
	}
	if auth {
		b.WriteString("\x00auth\x00" + w.subject.String())
	}
	if request {
		q := &w.call.Request
		b.WriteString("\x00request\x00" + strings.Join([]string{string(w.call.ID), q.IP, q.Country,
			q.Method, q.Origin, q.UserAgent}, "\x00"))
	}
	return b.String()
}

// Key names what is watched: two watches of one key have the same rows in every state.
func (w *Watch) Key() string { return w.key }

// Subject is who watches.
func (w *Watch) Subject() ident.Subject { return w.subject }

// Collection is the name of the collection whose records are watched, "" for a whole, of
// which all that it looks at is among its sources.
func (w *Watch) Collection() string {
	if w.Whole() {
		return ""
	}
	return w.list.coll.Name
}

// Limit is the greatest number of rows.
func (w *Watch) Limit() int { return w.list.limit }

// Timed reports that the passing of time alone may change the rows.
func (w *Watch) Timed() bool { return w.timed }

// Answered reports whether the watch has answered, and not only been told what another
// one did.
func (w *Watch) Answered() bool { return w.version > 0 }

// Current reports whether the app by which the list was compiled is still in force.
func (w *Watch) Current() bool { return w.engine.loaded.Load() == w.loaded }

// Look is one committed state, for watches to answer and judge in. It is for one
// goroutine, within the function that it is given to.
type Look struct {
	engine *Engine
	view   store.View
	// known is the view with what is remembered of it, for rules alone: its records must
	// not be changed.
	known rule.Reader
	at    journal.Seq
}

// At is the place of the last entry that the state includes.
func (l *Look) At() journal.Seq { return l.at }

// View is the state itself.
func (l *Look) View() store.View { return l.view }

// Reader is what rules read from.
func (l *Look) Reader() rule.Reader { return l.known }

// Know has rules read from what is remembered. Whoever keeps a Memory between looks must
// have it forget what changed in between.
func (l *Look) Know(m *Memory) {
	m.view = l.view
	l.known = m
}

// Look calls fn with the last committed state. No other app comes into force meanwhile,
// so fn is to be short, and asks the engine nothing else.
func (e *Engine) Look(ctx context.Context, fn func(*Look) error) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	err := e.store.Read(ctx, func(v store.View) error {
		at, err := v.Head(ctx)
		if err != nil {
			return err
		}
		return fn(&Look{engine: e, view: v, known: v, at: at})
	})
	if err != nil {
		return fault.From(err)
	}
	return nil
}

// begin makes the run of a question in the state.
func (w *Watch) begin(l *Look) *run {
	r := w.engine.begin(w.call)
	r.loaded = w.loaded
	r.subject = w.subject
	r.in.View = l.known
	if r.subject.Who == ident.User {
		r.in.Who = r.subject.ID
	}
	return r
}

// Answer returns the rows in the state. What the caller may no longer ask at all is a
// fault.
func (w *Watch) Answer(ctx context.Context, l *Look) (Rows, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	rows, err := w.answer(ctx, l)
	if err != nil {
		return rows, fault.From(err)
	}
	return rows, nil
}

// Took is how long the last answer took.
func (w *Watch) Took() time.Duration { return w.took }

func (w *Watch) answer(ctx context.Context, l *Look) (Rows, error) {
	began := time.Now()
	defer func() { w.took = time.Since(began) }()
	r := w.begin(l)
	out := Rows{At: l.at}
	r.sought = out.hold
	if l.at == (journal.Seq{}) {
		var err error
		if out.At, err = l.view.Head(ctx); err != nil {
			return out, err
		}
	}
	list := w.list
	args, none, err := r.arguments(ctx, &list.selection, w.params)
	if err != nil {
		return out, err
	}
	if err := w.bind(ctx, r, args); err != nil || none {
		return out, err
	}
	found, err := l.view.Find(ctx, query.Query{Plan: list.first, Args: args})
	if err != nil {
		return out, err
	}
	if out.More = len(found) > list.limit; out.More {
		found = found[:list.limit]
	}
	items := make([]Item, len(found))
	out.Rows = make([]Row, len(found))
	for i, rec := range found {
		out.Rows[i].ID, out.Rows[i].Keys = idOf(rec), w.keys(rec)
		if err := r.show(ctx, list.coll, rec); err != nil {
			return out, err
		}
		items[i].Record = rec
	}
	if err := r.expand(ctx, l.view, items, list.tree); err != nil {
		return out, err
	}
	project(items, w.keep)
	for i := range items {
		out.Rows[i].Item = items[i]
	}
	return out, nil
}

func (rows *Rows) hold(c *app.Collection, ids []string) {
	for _, id := range ids {
		rows.Held = append(rows.Held, Held{c.Name, ident.Record(id)})
	}
}

func (w *Watch) keys(rec value.Record) []value.Value {
	out := make([]value.Value, len(w.list.sort))
	for i, k := range w.list.sort {
		out[i] = rec.Slots[k.slot]
	}
	return out
}

// Judge decides about a record as it was after an entry, in a state as new as that. It
// reports whether the record fulfils the list's conditions, and if so returns it as the
// caller may see it, with what stands beside it.
func (w *Watch) Judge(ctx context.Context, l *Look, rec value.Record) (Row, []Held, bool, error) {
	r := w.begin(l)
	c := w.list.coll
	if err := r.aligned(c, rec.Shape); err != nil {
		return Row{}, nil, false, fault.From(err)
	}
	for i, name := range w.params.equal {
		slot, _ := c.Shape.Index(name)
		if !w.equal(i, rec.Slots[slot]) {
			return Row{}, nil, false, nil
		}
	}
	ask := func(x *rule.Rule) (bool, error) {
		r.about(rec, value.Record{}, value.Record{})
		v := x.Decide(ctx, &r.in)
		return v.Allowed(), v.Broken()
	}
	if x := w.list.judge; x != nil {
		r.in.Args = w.params.filter.args
		yes, err := ask(x)
		r.in.Args = value.Record{}
		if err != nil || !yes {
			return Row{}, nil, false, fromErr(err)
		}
	}
	if !r.free() {
		yes, err := ask(c.Read)
		if err != nil || !yes {
			return Row{}, nil, false, fromErr(err)
		}
	}
	row := Row{ID: idOf(rec), Keys: w.keys(rec)}
	rec = rec.Clone() // others see it, too
	if err := r.show(ctx, c, rec); err != nil {
		return Row{}, nil, false, fromErr(err)
	}
	var beside Rows
	r.sought = beside.hold
	items := []Item{{Record: rec}}
	if err := r.expand(ctx, l.view, items, w.list.tree); err != nil {
		return Row{}, nil, false, fromErr(err)
	}
	project(items, w.keep)
	row.Item = items[0]
	return row, beside.Held, true, nil
}

func fromErr(err error) error {
	if err == nil {
		return nil
	}
	return fault.From(err)
}

// Before reports whether a row with the keys a stands before one with the keys b.
func (w *Watch) Before(a, b []value.Value) bool {
	for i, k := range w.list.sort {
		if c := compare(a[i], b[i]); c != 0 {
			return (c < 0) != k.desc
		}
	}
	return false
}
