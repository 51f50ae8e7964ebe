package engine

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

// operation is a call as the app understands it.
type operation struct {
	verb Verb
	// name is the operation's in the journal: orders.create, actions.checkout.
	name string
	coll *app.Collection
	id   ident.Record
	// slots holds the slot of the record that each slot of input fills.
	slots   []int
	input   value.Record
	ifMatch int64
	action  *app.Action
	house   *action.House
	// route is what a Route or a Problem is of; typed is the typed input of a route.
	// reading reports that it only reads.
	route   *app.Route
	view    *app.View
	typed   value.Record
	reading bool
	batch   []*operation
	// key reports that doing it twice would differ from doing it once.
	key bool
}

var verbNames = [...]string{Get: "get", List: "list", Aggregate: "aggregate", Create: "create",
	Update: "update", Delete: "delete"}

// resolve finds the operation and reads its input. What no rule opens is not there.
// reads says whether the call is one that only reads.
func (r *run) resolve(reads bool) (*operation, error) {
	r.stage("resolve")
	op, err := r.operation(r.call)
	if op != nil && op.reads() != reads {
		return nil, errNotFound() // each is asked in its own way, and in no other
	}
	if err != nil {
		return nil, err
	}
	if s := r.call.Seen; s != nil {
		s.Operation = op.name
	}
	return op, r.checkKey(op)
}

func (r *run) operation(c *Call) (*operation, error) {
	switch c.Verb {
	case Get, List, Aggregate, Create, Update, Delete:
		return r.record(c)
	case Action:
		return r.action(c)
	case Batch:
		return r.batchOf(c)
	case Route:
		return r.routeOf(c)
	case Problem:
		return r.problemOf(c)
	default:
		return nil, errNotFound()
	}
}

// record resolves an operation on a collection.
func (r *run) record(c *Call) (*operation, error) {
	coll := r.Collection(c.Target)
	if v := r.View(c.Target); coll == nil && v != nil && c.Verb == List {
		return r.viewOf(c, v)
	}
	if coll == nil || (coll.Quiet || !coll.Open()) && !r.free() {
		return nil, errNotFound()
	}
	op := &operation{verb: c.Verb, name: coll.Name + "." + verbNames[c.Verb], coll: coll,
		ifMatch: c.IfMatch}
	switch c.Verb {
	case List, Aggregate:
		if coll.Read == nil && !r.free() {
			return nil, errNotFound()
		}
		return op, nil
	case Create:
		return op, r.createInput(op, c.Body)
	}
	id, err := ident.ParseRecord(c.Record)
	if err != nil {
		return nil, errNotFound() // nothing can have that id
	}
	op.id = id
	if c.Verb == Update {
		return op, r.updateInput(op, c.Body)
	}
	return op, nil
}

// createInput reads the fields of a new record. Without a grant there is nothing that
// could be read, and authorize says no.
func (r *run) createInput(op *operation, body []byte) error {
	shape := op.coll.CreateInput
	op.slots = op.coll.CreateSlots
	if r.free() {
		shape, op.slots = op.coll.AdminCreate, op.coll.AdminCreateSlots
	}
	if shape == nil {
		return nil // and no key is asked for
	}
	op.key = true
	in, issues, err := decode(body, shape, value.Decoding{Partial: true, Known: op.coll.Known})
	if err != nil {
		return err
	}
	if in.Zero() {
		return errInput(issues)
	}
	op.key = in.Slots[0].IsNull()
	for i, slot := range op.slots {
		if in.Slots[i].Kind() == value.Absent && op.coll.Needs(slot) && !told(issues, shape, i) {
			issues = append(issues, value.Issue{Pointer: shape.Pointer(i),
				Code: value.CodeRequired, Detail: "is required"})
		}
	}
	op.input = in
	return errInput(issues)
}

// told reports whether an issue names the slot already.
func told(issues []value.Issue, shape *value.Shape, slot int) bool {
	at := shape.Pointer(slot)
	for _, i := range issues {
		if i.Pointer == at {
			return true
		}
	}
	return false
}

// updateInput reads a merge patch.
func (r *run) updateInput(op *operation, body []byte) error {
	shape := op.coll.UpdateInput
	op.slots = op.coll.UpdateSlots
	if r.free() {
		shape, op.slots = op.coll.AdminUpdate, op.coll.AdminUpdateSlots
	}
	if shape == nil {
		return nil
	}
	in, issues, err := decode(body, shape,
		value.Decoding{Partial: true, Operators: true, Known: op.coll.Known})
	if err != nil {
		return err
	}
	op.input = in
	for _, v := range in.Slots {
		op.key = op.key || v.Kind() == value.Operator
	}
	return errInput(issues)
}

// decode reads a body into a shape; no body is an empty object.
func decode(body []byte, shape *value.Shape, how value.Decoding) (value.Record, []value.Issue, error) {
	if len(body) > BodyMax {
		return value.Record{}, nil, fault.New(fault.TooLarge,
			"The body has more than %d bytes.", BodyMax)
	}
	if body == nil {
		body = []byte("{}")
	}
	in, issues, err := value.DecodeObject(body, shape, how)
	var syntax *value.SyntaxError
	if errors.As(err, &syntax) {
		f := fault.New(fault.Malformed, "The body is not the JSON that is wanted: %v.", syntax)
		f.At = fault.Place{Parameter: "body", Column: syntax.Offset + 1}
		return in, nil, f
	}
	return in, issues, err
}

// action resolves an action of the app or of the house.
func (r *run) action(c *Call) (*operation, error) {
	if h := r.house[c.Target]; h != nil {
		op := &operation{verb: Action, name: strings.ReplaceAll(h.Name, "/", "."), house: h}
		return op, r.actionInput(op, c, h.Input)
	}
	a := r.Action(c.Target)
	if a == nil || a.Allow == nil && !r.free() {
		return nil, errNotFound()
	}
	op := &operation{verb: Action, name: "actions." + a.Name, action: a,
		key: !a.Spec.KeyOptional && !a.Spec.ReadOnly}
	return op, r.actionInput(op, c, a.Spec.Input)
}

var emptyShape = value.NewShape("", nil)

func (r *run) actionInput(op *operation, c *Call, shape *value.Shape) error {
	shape = cmp.Or(shape, emptyShape)
	if c.Body == nil && len(c.Params) > 0 {
		in, err := paramInput(c.Params, shape)
		op.input = in
		return err
	}
	in, issues, err := decode(c.Body, shape, value.Decoding{})
	if err != nil {
		return err
	}
	op.input = in
	return errInput(issues)
}

// batchOf resolves the operations of a batch.
func (r *run) batchOf(c *Call) (*operation, error) {
	op := &operation{verb: Batch, name: "batch"}
	most := BatchMax
	if r.free() {
		most = ImportMax
	}
	if n := len(c.Batch); n == 0 || n > most {
		return nil, fault.New(fault.Invalid, "A batch has 1 to %d requests, this one has %d.",
			most, n)
	}
	for i := range c.Batch {
		x := &c.Batch[i]
		part, err := r.operation(x)
		if err == nil && (x.Verb < Create || x.Verb == Batch ||
			part.house != nil || part.action != nil && part.action.Spec.ReadOnly) {
			err = fault.New(fault.Invalid, "A batch holds creates, updates, deletes and actions.")
		}
		if err != nil {
			return nil, faultAt(err, i)
		}
		op.key = op.key || part.key
		op.batch = append(op.batch, part)
	}
	return op, nil
}

func errNotFound() error {
	return fault.New(fault.NotFound, "There is nothing here for you.")
}

// errInput makes a fault of issues, nil if there are none.
func errInput(issues []value.Issue) error {
	if len(issues) == 0 {
		return nil
	}
	f := fault.New(fault.Invalid, "The input is not valid.")
	for _, i := range issues {
		item := fault.Item{Pointer: i.Pointer, Code: i.Code, Detail: i.Detail}
		for _, p := range i.Params {
			item.Params = append(item.Params, fault.Param{Name: p.Name, Value: plain(p.Value)})
		}
		f.Items = append(f.Items, item)
	}
	return f
}

// plain returns a bound as a Go value.
func plain(v value.Value) any {
	switch v.Kind() {
	case value.Int:
		return v.Int()
	case value.Float:
		return v.Float()
	case value.Bool:
		return v.Bool()
	case value.Text:
		return v.Text()
	default:
		return strings.Trim(string(value.AppendJSON(nil, v)), `"`)
	}
}

// internal is a mistake of the app's code or of ours.
func internal(format string, args ...any) error {
	return &fault.Fault{Kind: fault.Internal, Message: "Something went wrong on our side.",
		Cause: fmt.Errorf(format, args...)}
}
