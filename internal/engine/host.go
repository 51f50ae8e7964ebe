package engine

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/action"
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

// host is what code reaches inside a transaction. No allow binds it, but types,
// bounds and checks do.
type host struct {
	*run
	view store.View
	// tx is nil for an action that only reads.
	tx store.Tx
	// quiet opens the collections of the house.
	quiet bool
	// wallet is shared with the hosts of the hooks that are caused; hooks names those that
	// this one is within.
	wallet *wallet
	hooks  []string
}

var _ action.Host = (*host)(nil)

// newHost returns a host of one operation; tx is nil for one that only reads.
func (r *run) newHost(view store.View, tx store.Tx) *host {
	return &host{run: r, view: view, tx: tx, wallet: &wallet{}}
}

// kind is what runs, for errors.
func (h *host) kind() string {
	if len(h.hooks) > 0 {
		return "hook"
	}
	return "action"
}

func (h *host) tick() error { return h.wallet.tick(h.kind()) }

func (h *host) collection(name string) (*app.Collection, error) {
	if err := h.tick(); err != nil {
		return nil, err
	}
	c := h.Collection(name)
	if c == nil || c.Quiet && !h.quiet {
		return nil, internal("there is no collection %q", name)
	}
	return c, nil
}

// Get returns the record, or the refusal not_found.
func (h *host) Get(ctx context.Context, collection string, id ident.Record) (value.Record, error) {
	c, err := h.collection(collection)
	if err != nil {
		return value.Record{}, err
	}
	return h.view.Get(ctx, c.Name, id)
}

// Find returns the rows of a query.
func (h *host) Find(ctx context.Context, q query.Query) ([]value.Record, error) {
	if _, err := h.collection(q.Plan.From); err != nil {
		return nil, err
	}
	if q.Plan.Limit == 0 && q.Plan.Out == nil && !h.quiet {
		plan := *q.Plan
		plan.Limit = hostRowsMax + 1
		q.Plan = &plan
	}
	rows, err := h.view.Find(ctx, q)
	if h.wallet.rows += len(rows); err == nil && h.wallet.rows > hostRowsMax {
		return nil, fault.New(fault.Timeout, "The %s read more than %d rows.", h.kind(), hostRowsMax)
	}
	return rows, err
}

// Filter compiles a CEL filter with bound values.
func (h *host) Filter(collection, cel string, args value.Record) (query.Expr, []value.Value, error) {
	c, err := h.collection(collection)
	if err != nil {
		return nil, nil, err
	}
	var key strings.Builder
	key.WriteString("cel\x00" + collection + "\x00" + cel)
	if args.Shape != nil {
		for i, f := range args.Shape.Fields() {
			// A list becomes as many parameters as it has items.
			fmt.Fprint(&key, "\x00", f.Name, "\x00", f.Type.String(), len(args.Slots[i].List()))
		}
	}
	kept, _ := h.plans.get(key.String())
	cond, ok := kept.(*rule.Condition)
	if !ok {
		text := spec.Text{Source: cel, Pos: spec.Pos{Line: 1, Column: 1}}
		x, findings := h.World.Compile(text,
			rule.Scope{Collection: c.Name, Bare: true, Args: args.Shape})
		if x == nil || spec.Failed(findings) {
			return nil, nil, internal("filter %q: %w", cel, errFilter(findings))
		}
		if cond, err = x.Condition(); err != nil {
			return nil, nil, internal("filter %q: %w", cel, err)
		}
		h.plans.put(key.String(), cond)
	}
	in := h.in
	in.Args = args
	values, err := cond.Args(context.Background(), &in) // constants and bound values alone
	return cond.Expr, values, err
}

// Put writes a record, after its types were asked, and then asks the checks that need
// nothing else.
func (h *host) Put(ctx context.Context, collection string, given value.Record) (value.Record, error) {
	c, err := h.collection(collection)
	if err != nil {
		return value.Record{}, err
	}
	if h.tx == nil {
		return value.Record{}, internal("the action is read_only and cannot write %s", c.Name)
	}
	if given.Zero() {
		return given, internal("no record was given to put into %s", c.Name)
	}
	if err := h.aligned(c, given.Shape); err != nil {
		return given, err
	}
	record := given.Clone()
	record.Shape = c.Shape
	record.Slots[spec.SlotCreated], record.Slots[spec.SlotUpdated] = value.Value{}, value.Value{}
	version := record.Slots[spec.SlotVersion]
	if version.Kind() == value.Absent || version.Kind() == value.Int && version.Int() == 0 {
		err = h.complete(ctx, c, record)
	}
	if err == nil {
		err = conform(c, record)
	}
	if err != nil {
		return value.Record{}, err
	}
	old, next, err := h.would(ctx, c, record)
	if err == nil && !next.Zero() {
		err = h.checkOwn(ctx, c, next)
	}
	if err != nil {
		return value.Record{}, err
	}
	stored, err := h.tx.Put(ctx, c.Name, record)
	if err != nil {
		return value.Record{}, err
	}
	return h.written(ctx, c, stored, old)
}

// would returns the record as it is, zero if it is new, and as a Put would store it, so
// that its own checks are asked before anything is written: code that catches a refusal
// never finds a record that breaks a check. Next is zero where Put itself says no.
func (h *host) would(ctx context.Context, c *app.Collection, given value.Record) (
	old, next value.Record, err error) {
	version := given.Slots[spec.SlotVersion]
	if version.Kind() == value.Null || version.Int() != 0 {
		old, err = h.tx.Get(ctx, c.Name, idOf(given))
		if fault.Is(err, fault.NotFound) ||
			err == nil && version.Kind() == value.Int && version.Int() != versionOf(old) {
			return old, value.Record{}, nil
		}
		if err != nil {
			return old, value.Record{}, err
		}
	}
	next = given.Clone()
	next.Slots[spec.SlotUpdated] = value.OfTime(h.now)
	if old.Zero() {
		next.Slots[spec.SlotCreated] = value.OfTime(h.now)
		next.Slots[spec.SlotVersion] = value.OfInt(1)
		return old, next, nil
	}
	next.Slots[spec.SlotCreated] = old.Slots[spec.SlotCreated]
	next.Slots[spec.SlotVersion] = value.OfInt(versionOf(old) + 1)
	for i, v := range given.Slots[spec.SlotFirst:] {
		slot := i + spec.SlotFirst
		switch v.Kind() {
		case value.Absent:
			next.Slots[slot] = old.Slots[slot]
		case value.Operator:
			f := &c.Shape.Fields()[slot]
			v, issues := value.Conform(&f.Type, apply(v, old.Slots[slot]), c.Shape.Pointer(slot))
			if len(issues) > 0 {
				return old, next, errWritten(c, slot, issues[0])
			}
			next.Slots[slot] = v
		}
	}
	return old, next, nil
}

// complete fills what a new record leaves out.
func (h *host) complete(ctx context.Context, c *app.Collection, record value.Record) error {
	if record.Slots[spec.SlotID].IsNull() {
		record.Slots[spec.SlotID] = value.OfText(string(h.newID()))
	}
	for i := spec.SlotFirst; i < len(record.Slots); i++ {
		if record.Slots[i].Kind() != value.Absent {
			continue
		}
		switch f := &c.Fields[i]; {
		case f.Set != nil:
			h.about(record, value.Record{}, value.Record{})
			v, err := f.Set.Eval(ctx, &h.in)
			if err != nil {
				return internal("set of %s.%s: %w", c.Name, f.Spec.Name, err)
			}
			record.Slots[i] = v
		case f.Spec.Default.Kind() != value.Absent:
			record.Slots[i] = f.Spec.Default
		case f.Spec.Type.Optional:
			record.Slots[i] = value.OfNull()
		default:
			return internal("%s.%s is required and was left out", c.Name, f.Spec.Name)
		}
	}
	return nil
}

// conform gives the slots of a record that code writes the form of their types.
func conform(c *app.Collection, record value.Record) error {
	fields := c.Shape.Fields()
	for i := range record.Slots {
		if i == spec.SlotVersion || record.Slots[i].Kind() == value.Absent {
			continue
		}
		v, issues := value.Conform(&fields[i].Type, record.Slots[i], c.Shape.Pointer(i))
		if len(issues) > 0 {
			return errWritten(c, i, issues[0])
		}
		record.Slots[i] = v
	}
	return nil
}

// errWritten says that code wrote what a field cannot hold. A value of the wrong type
// is a mistake of the code; one over a bound may be its caller's.
func errWritten(c *app.Collection, slot int, issue value.Issue) error {
	name := c.Name + "." + c.Shape.Fields()[slot].Name
	if issue.Code == value.CodeType || issue.Code == value.CodeRequired {
		return internal("%s %s", name, issue.Detail)
	}
	return fault.New(fault.Invalid, "%s %s.", name, issue.Detail)
}

// Delete removes a record.
func (h *host) Delete(ctx context.Context, collection string, id ident.Record) error {
	c, err := h.collection(collection)
	if err != nil {
		return err
	}
	if h.tx == nil {
		return internal("the action is read_only and cannot delete from %s", c.Name)
	}
	return h.remove(ctx, c, id)
}

// Intend adds an intent to the entry.
func (h *host) Intend(ctx context.Context, i journal.Intent) error {
	if err := h.tick(); err != nil {
		return err
	}
	switch {
	case h.tx == nil:
		return internal("the action is read_only and cannot leave an intent")
	case i.Kind == journal.IntentJob && h.Function(action.Jobs+"/"+i.Name) == nil:
		return internal("there is no job %q", i.Name)
	case i.Kind == journal.IntentEmail && h.Email(i.Name) == nil:
		return internal("there is no email %q", i.Name)
	case i.Kind == journal.IntentPublish:
		if err := h.published(&i); err != nil {
			return err
		}
	}
	return h.tx.Intend(ctx, i)
}

// Subject is who called.
func (h *host) Subject() ident.Subject { return h.subject }

// Me is the caller's record of users as it was when the call began.
func (h *host) Me(context.Context) (value.Record, error) {
	if h.me.Zero() {
		return h.me, nil
	}
	return h.me.Clone(), nil
}

// Shape returns the shape of a collection's records, or of a job's input.
func (h *host) Shape(collection string) *value.Shape {
	if f := h.Function(collection); f != nil {
		return f.Input
	}
	c := h.Collection(collection)
	if c == nil || c.Quiet && !h.quiet {
		return nil
	}
	return c.Shape
}

// NewID returns the next id of this call.
func (h *host) NewID() ident.Record { return h.newID() }

// Now is the call's instant.
func (h *host) Now() time.Time { return h.now }

// Random is the call's chance.
func (h *host) Random() *rand.Rand { return h.random() }

// Log logs for the developer, with the call's id.
func (h *host) Log() *slog.Logger {
	return slog.New(&lines{next: h.engine.log.Handler(), seen: h.call.Seen}).With("call", string(h.call.ID))
}
