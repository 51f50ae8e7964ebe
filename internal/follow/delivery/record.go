package delivery

import (
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Collection is the quiet collection of deliveries.
const Collection = "_deliveries"

// The states of a delivery.
const (
	Waiting = "waiting"
	Sending = "sending"
	Done    = "done"
	Failed  = "failed"
)

// The fields of a delivery's record.
const (
	fieldName    = "name"
	fieldRecord  = "record"
	fieldEvent   = "event"
	fieldState   = "state"
	fieldLane    = "lane"
	fieldPlace   = "place"
	fieldDue     = "due"
	fieldNode    = "node"
	fieldTries   = "tries"
	fieldBody    = "body"
	fieldStatus  = "status"
	fieldProblem = "problem"
	fieldEnded   = "ended"
)

// Collections returns the quiet collections that the deliveries of an app need: none
// where it has no deliveries.
func Collections(s *spec.Spec) []*spec.Collection {
	if len(s.Deliveries) == 0 {
		return nil
	}
	return collections()
}

// collections returns that of deliveries. Deliveries of one name and
// one record are in one lane until they have ended, in the order of their places; the
// first one of a lane is due at a time or has a node, and only it.
func collections() []*spec.Collection {
	of := func(k value.TypeKind) value.Type { return value.Type{Kind: k} }
	maybe := func(k value.TypeKind) value.Type { return value.Type{Kind: k, Optional: true} }
	by := func(names ...string) spec.Index {
		var x spec.Index
		for _, n := range names {
			x.Fields = append(x.Fields, spec.IndexField{Name: n})
		}
		return x
	}
	body := of(value.TypeText)
	body.Max = &value.Bound{Int: BodyMax}
	return []*spec.Collection{{Name: Collection, Quiet: true,
		Index: []spec.Index{by(fieldName, fieldDue), by(fieldLane, fieldPlace), by(fieldNode),
			by(fieldEnded)},
		Fields: []*spec.Field{
			{Name: fieldName, Type: of(value.TypeString)},
			{Name: fieldRecord, Type: of(value.TypeString)},
			{Name: fieldEvent, Type: of(value.TypeString)},
			{Name: fieldState, Type: of(value.TypeString)},
			{Name: fieldLane, Type: maybe(value.TypeString)},
			{Name: fieldPlace, Type: of(value.TypeInt)},
			{Name: fieldDue, Type: maybe(value.TypeTime)},
			{Name: fieldNode, Type: maybe(value.TypeString)},
			{Name: fieldTries, Type: of(value.TypeInt)},
			{Name: fieldBody, Type: body},
			{Name: fieldStatus, Type: maybe(value.TypeInt)},
			{Name: fieldProblem, Type: maybe(value.TypeText)},
			{Name: fieldEnded, Type: maybe(value.TypeTime)},
		}}}
}

// at returns a field of a row.
func at(name string, kind value.TypeKind) query.Expr {
	return query.Field{Of: query.Row{}, Collection: Collection, Name: name,
		Type: value.Type{Kind: kind}}
}

func param(n int, kind value.TypeKind) query.Expr {
	return query.Param{Index: n, Type: value.Type{Kind: kind}}
}

func order(name string, kind value.TypeKind) []query.Order {
	return []query.Order{{By: at(name, kind)}}
}

// The plans by which deliveries are found: those of a name that are due, those of a
// lane, those that nodes have, and those that ended before a time in a state.
var (
	duePlan = &query.Plan{From: Collection, Limit: workersMax, Sort: order(fieldDue, value.TypeTime),
		Where: query.And{Of: []query.Expr{
			query.Same{L: at(fieldName, value.TypeString), R: param(0, value.TypeString)},
			query.Compare{Op: "<=", L: at(fieldDue, value.TypeTime), R: param(1, value.TypeTime)}}}}
	soonPlan = &query.Plan{From: Collection, Limit: 1, Sort: order(fieldDue, value.TypeTime),
		Where: query.And{Of: []query.Expr{
			query.Same{L: at(fieldName, value.TypeString), R: param(0, value.TypeString)},
			query.Compare{Op: ">", L: at(fieldDue, value.TypeTime), R: param(1, value.TypeTime)}}}}
	lanePlan = &query.Plan{From: Collection, Limit: 2, Sort: order(fieldPlace, value.TypeInt),
		Where: query.Same{L: at(fieldLane, value.TypeString), R: param(0, value.TypeString)}}
	heldPlan = &query.Plan{From: Collection, Limit: 1000, Where: query.Compare{Op: ">",
		L: at(fieldNode, value.TypeString), R: query.Literal{Value: value.OfText("")}}}
	oldPlan = &query.Plan{From: Collection, Limit: sweepMax, Sort: order(fieldEnded, value.TypeTime),
		Where: query.And{Of: []query.Expr{
			query.Same{L: at(fieldState, value.TypeString), R: param(0, value.TypeString)},
			query.Compare{Op: "<", L: at(fieldEnded, value.TypeTime), R: param(1, value.TypeTime)}}}}
)

// unnamedPlan finds those in a state, made before a time, of other names than a number of
// them.
func unnamedPlan(names int) *query.Plan {
	in := query.In{X: at(fieldName, value.TypeString)}
	for i := range names {
		in.Of = append(in.Of, param(i+2, value.TypeString))
	}
	where := []query.Expr{
		query.Same{L: at(fieldState, value.TypeString), R: param(0, value.TypeString)},
		query.Compare{Op: "<", L: at(spec.FieldCreated, value.TypeTime), R: param(1, value.TypeTime)}}
	if names > 0 {
		where = append(where, query.Not{Of: in})
	}
	return &query.Plan{From: Collection, Limit: sweepMax, Where: query.And{Of: where}}
}

// laneOf is the lane of a record's deliveries of one name.
func laneOf(name, record string) value.Value { return value.OfText(name + " " + record) }

func idOf(row value.Record) ident.Record {
	return ident.Record(row.Slots[spec.SlotID].Text())
}

func nullOr(text string) value.Value {
	if text == "" {
		return value.OfNull()
	}
	return value.OfText(text)
}
