package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Plan is the difference between an app file and the database, with what each step
// would do to the records that are there.
type Plan struct {
	Changes []Change `json:"changes"`
	// Deploy is the number of the app that was put in force; 0 if it already was.
	Deploy int `json:"deploy,omitempty"`
	steps  []spec.Step
	checks []spec.Step
	// deploy is the app that is in force after it.
	deploy *spec.Deploy
}

// Change is one step of a plan, as a person reads it.
type Change struct {
	Collection string `json:"collection"`
	// Sign is + for what comes, - for what goes, ~ for what changes.
	Sign string `json:"sign"`
	What string `json:"what"`
	// Risk is safe, blocked or loses data.
	Risk string `json:"risk"`
	Why  string `json:"why"`
	// Records counts those that stand against the step or lose a value by it, of All.
	Records int64    `json:"records,omitempty"`
	All     int64    `json:"all,omitempty"`
	IDs     []string `json:"ids,omitempty"`
	// Lose is what `migrate apply --lose` calls the step, if it loses data.
	Lose string `json:"lose,omitempty"`
}

// The risks of a change.
const (
	RiskSafe    = "safe"
	RiskBlocked = "blocked"
	RiskLoses   = "loses data"
)

// UnsafePlan is a plan that was not applied because a part of it is not safe.
type UnsafePlan struct{ Plan Plan }

// CodeUnsafe is the code of a plan that is not safe, at the local door.
const CodeUnsafe = "unsafe_plan"

// Error counts what is not safe.
func (e *UnsafePlan) Error() string {
	return "the app file changes the schema: " + e.Plan.Unsafe() +
		"; nothing was changed. See: galley migrate plan"
}

// Unsafe counts in words what is not safe.
func (p Plan) Unsafe() string {
	var said []string
	blocked, loses := p.Count()
	if blocked > 0 {
		said = append(said, fmt.Sprintf("%d blocked", blocked))
	}
	switch {
	case loses == 1:
		said = append(said, "1 loses data")
	case loses > 1:
		said = append(said, fmt.Sprintf("%d lose data", loses))
	}
	return strings.Join(said, ", ")
}

// Count counts the changes that are blocked and those that lose data.
func (p Plan) Count() (blocked, loses int) {
	for _, c := range p.Changes {
		switch c.Risk {
		case RiskBlocked:
			blocked++
		case RiskLoses:
			loses++
		}
	}
	return blocked, loses
}

// allowed refuses a plan with a part that is blocked, or that loses what lose does
// not name.
func (p Plan) allowed(lose []string) error {
	for _, c := range p.Changes {
		if c.Risk == RiskBlocked || c.Risk == RiskLoses && !slices.Contains(lose, c.Lose) {
			return &UnsafePlan{p}
		}
	}
	return nil
}

// idsMax is how many records a change names.
const idsMax = 3

// plan compares the app with the schema in force and counts what each step would meet.
func (s *Server) plan(ctx context.Context, base *spec.Schema, next Compiled) (Plan, error) {
	p := Plan{Changes: []Change{}, deploy: base.App}
	schema := *next.App.Schema
	schema.App = base.App
	if base.App == nil || base.App.Hash != next.source.hash || !base.Same(&schema) {
		p.deploy = successor(base.App, next.source)
		schema.App = p.deploy
	}
	for _, step := range spec.Diff(base, &schema, next.Spec.Renames()...) {
		if step.Kind == spec.ChangeChecks {
			p.checks = append(p.checks, step)
		} else {
			p.steps = append(p.steps, step)
		}
	}
	if len(p.steps)+len(p.checks) <= 1 {
		return p, nil // at most another app over the same records
	}
	counts, err := s.store.Counts(ctx, p.steps)
	if err != nil {
		return p, err
	}
	for _, step := range p.steps {
		if step.Kind != spec.Adopt && !strings.HasPrefix(step.Collection, "_") {
			p.Changes = append(p.Changes, judged(step, counts))
		}
	}
	var judged []Change
	err = s.store.Read(ctx, func(v store.View) (err error) {
		judged, err = s.judgeAll(ctx, v, base, next.App, p.checks)
		return err
	})
	p.Changes = append(p.Changes, judged...)
	return p, err
}

// judgeAll asks the new checks of all collections.
func (s *Server) judgeAll(ctx context.Context, v store.View, base *spec.Schema, next *app.App,
	checks []spec.Step) (all []Change, err error) {
	for _, step := range checks {
		changes, err := s.judgeChecks(ctx, v, base.Table(step.Collection), next, step)
		if err != nil {
			return nil, err
		}
		all = append(all, changes...)
	}
	return all, nil
}

// judged says what a step would do to the records that were counted.
func judged(step spec.Step, counts []store.Count) Change {
	c := described(step)
	c.Risk = RiskSafe
	for _, n := range counts {
		if !meant(step, n) {
			continue
		}
		c.Records += n.Records
		for _, id := range n.IDs {
			if len(c.IDs) < idsMax {
				c.IDs = append(c.IDs, string(id))
			}
		}
		if n.Code == store.CountLost {
			c.Risk, c.Lose = RiskLoses, step.Collection
			c.Why = records(n.Records) + " would be lost"
			if step.Field != "" {
				c.Lose += "." + step.Field
				c.Why = records(n.Records) + " with a value"
			}
			continue
		}
		c.Risk = RiskBlocked
		c.Why = fmt.Sprintf("%s %s: %s", records(n.Records), harms(n.Code), named(c))
	}
	return c
}

// meant reports whether a count is about the step.
func meant(step spec.Step, n store.Count) bool {
	if n.Collection != step.Collection {
		return false
	}
	switch step.Kind {
	case spec.DropCollection:
		return n.Code == store.CountLost && len(n.Fields) == 0
	case spec.ChangeIndexes:
		return n.Code == store.CountDouble
	case spec.DropField:
		return n.Code == store.CountLost && slices.Equal(n.Fields, []string{step.Field})
	case spec.AddField, spec.ChangeField:
		return n.Code != store.CountLost && n.Code != store.CountDouble &&
			slices.Equal(n.Fields, []string{step.Field})
	}
	return false
}

// harms says in words what stands against a step.
func harms(code string) string {
	switch code {
	case store.CountEmpty:
		return "without a value"
	case store.CountDouble:
		return "with a value that others have too"
	case store.CountDangling:
		return "pointing to what is not there"
	default:
		return "with a value that does not fit"
	}
}

func records(n int64) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

// named lists the first records that a change is about.
func named(c Change) string {
	said := strings.Join(c.IDs, ", ")
	if c.Records > int64(len(c.IDs)) {
		said += ", …"
	}
	return said
}

// described says what a step is, without its risk.
func described(step spec.Step) Change {
	c := Change{Collection: step.Collection}
	switch step.Kind {
	case spec.AddCollection:
		c.Sign, c.What, c.Why = "+", "collection", "adds a table"
	case spec.DropCollection:
		c.Sign, c.What = "-", "collection"
	case spec.RenameCollection:
		c.Sign, c.What, c.Why = "~", step.From+" → "+step.Collection, "renamed"
	case spec.AddField:
		c.Sign, c.What, c.Why = "+", step.Field+"  "+step.Type.String(), "adds a column"
	case spec.DropField:
		c.Sign, c.What, c.Why = "-", step.Field, "holds no values"
	case spec.RenameField:
		c.Sign, c.What, c.Why = "~", step.From+" → "+step.Field, "renamed"
	case spec.ChangeField:
		old, next := step.Old.String(), step.Type.String()
		if old == next {
			next = "other bounds"
		}
		c.Sign, c.What = "~", step.Field+"  "+old+" → "+next
		c.Why = "every record fits"
	case spec.ChangeIndexes:
		c.Sign, c.What, c.Why = "~", "indexes", "built anew"
		for _, set := range step.Unique {
			c.What += "  unique " + strings.Join(set, ", ")
		}
	}
	return c
}

// judgeChecks asks new checks of every record that is there.
func (s *Server) judgeChecks(ctx context.Context, v store.View, stored *spec.Table,
	next *app.App, step spec.Step) ([]Change, error) {
	c := next.Collection(step.Collection)
	var out []Change
	for _, check := range c.Checks {
		if !slices.Contains(step.Checks, check.Name) {
			continue
		}
		change := Change{Collection: step.Collection, Sign: "+", What: "check " + check.Name,
			Risk: RiskSafe, Why: "every record holds it"}
		if stored != nil {
			err := each(ctx, v, step.Collection, func(r value.Record) error {
				change.All++
				in := rule.Input{Record: reshaped(r, c.Shape), View: v, Now: s.cfg.Now()}
				in.Before = in.Record
				if check.Rule.Decide(ctx, &in).Allowed() {
					return nil
				}
				if change.Records++; change.Records <= idsMax {
					change.IDs = append(change.IDs, r.Slots[spec.SlotID].Text())
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		if change.Records > 0 {
			change.Risk = RiskBlocked
			change.Why = fmt.Sprintf("%d of %s would break it: %s", change.Records,
				records(change.All), named(change))
		}
		out = append(out, change)
	}
	return out, nil
}

// reshaped is a stored record in the shape that it will have: fields that come are
// filled with their defaults.
func reshaped(r value.Record, shape *value.Shape) value.Record {
	out := value.NewRecord(shape)
	for i, f := range shape.Fields() {
		out.Slots[i] = r.Get(f.Name)
		if out.Slots[i].Kind() == value.Absent {
			out.Slots[i] = f.Default
		}
		if out.Slots[i].Kind() == value.Absent {
			out.Slots[i] = value.OfNull()
		}
	}
	return out
}

// eachMax is how many records are read at a time.
const eachMax = 1000

// each calls fn with every record of a collection.
func each(ctx context.Context, v store.View, collection string, fn func(value.Record) error) error {
	id := value.Type{Kind: value.TypeID}
	field := query.Field{Of: query.Row{}, Collection: collection, Name: spec.FieldID, Type: id}
	plan := &query.Plan{From: collection, Limit: eachMax,
		Where: query.Compare{Op: ">", L: field, R: query.Param{Type: id}},
		Sort:  []query.Order{{By: field}}}
	for last := value.OfText(""); ; {
		rows, err := v.Find(ctx, query.Query{Plan: plan, Args: []value.Value{last}})
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := fn(r); err != nil {
				return err
			}
		}
		if len(rows) < eachMax {
			return nil
		}
		last = rows[len(rows)-1].Slots[spec.SlotID]
	}
}

// handlePlan answers with the plan of the app file as it stands now.
func (s *Server) handlePlan(w http.ResponseWriter, r *http.Request) {
	out := newLines(w)
	next := Compile(s.cfg)
	if next.Failed() {
		out.say(failure(fault.New(fault.Invalid, "The app has errors. See: galley check")))
		return
	}
	p, err := s.plan(r.Context(), s.store.Schema(), next)
	if err != nil {
		out.say(failure(err))
		return
	}
	out.say(p)
}

// applyRequest names what may be lost.
type applyRequest struct {
	Lose []string `json:"lose"`
}

// unsafe is the answer of a plan that was not applied.
type unsafe struct {
	Plan
	failed
}

// handleApply puts the app file as it stands now in force.
func (s *Server) handleApply(w http.ResponseWriter, r *http.Request) {
	out := newLines(w)
	var req applyRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		out.say(failure(fault.Wrap(fault.Malformed, err, "The request cannot be read.")))
		return
	}
	s.reload.Lock()
	defer s.reload.Unlock()
	next := Compile(s.cfg)
	if next.Failed() {
		out.say(failure(fault.New(fault.Invalid, "The app has errors. See: galley check")))
		return
	}
	p, err := s.put(r.Context(), next, req.Lose)
	var bad *UnsafePlan
	switch {
	case errors.As(err, &bad):
		out.say(unsafe{bad.Plan, failed{bad.Error(), CodeUnsafe}})
	case err != nil:
		out.say(failure(err))
	default:
		out.say(p)
	}
}
