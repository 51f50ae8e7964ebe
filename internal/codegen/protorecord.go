package codegen

import (
	"strings"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// open reports whether a rule opens anything of a collection.
func open(c *spec.Collection) bool {
	a := c.Allow
	return !c.Quiet && (a.Read != nil || a.Create != nil || a.Update != nil || a.Delete != nil)
}

// record makes the message of a collection's records. That of one that is closed is
// numbered, too, so that opening it changes nothing of the others.
func (b *protoBuilder) record(c *spec.Collection) {
	if c.Quiet {
		return
	}
	b.lock.rename(c.Was, c.Name)
	m := &ProtoMessage{Name: b.recordNames[c.Name], Doc: c.Doc}
	scope := c.Name + "."
	messages, enums := len(b.out.Messages), len(b.out.Enums)
	var all []*ProtoField
	for _, field := range c.All() {
		before, words := len(b.out.Messages), len(b.out.Enums)
		f := b.fieldOf(scope+field.Name, m.Name+pascal(field.Name, false), &field.Type,
			map[string]string{"": field.Doc}, "")
		f.Name = field.Name
		if field.System {
			f.Number = systemNumbers[field.Name]
		} else {
			f.Number = b.lock.number(scope, field.Name, field.Was, f.as(), numberOwn)
		}
		all = append(all, f)
		if field.Hidden {
			if !granted(c, field.Name) { // nothing may tell that it is there
				b.out.Messages, b.out.Enums = b.out.Messages[:before], b.out.Enums[:words]
			}
			m.Reserved = append(m.Reserved, f.Number)
			continue
		}
		f.Optional = !f.Repeated && (field.Type.Optional || !field.Read.Empty())
		m.Fields = append(m.Fields, f)
	}
	b.scopes = append(b.scopes, protoScope{path: scope, message: m})
	if !open(c) {
		b.out.Messages, b.out.Enums = b.out.Messages[:messages], b.out.Enums[:enums]
		return
	}
	b.records[c.Name], b.fields[c.Name] = m, all
	b.out.Messages = append(b.out.Messages, m)
}

// granted reports whether clients may send a field.
func granted(c *spec.Collection, field string) bool {
	for _, g := range []*spec.Grant{c.Allow.Create, c.Allow.Update} {
		if g == nil {
			continue
		}
		for _, n := range g.Fields {
			if n.Name == field {
				return true
			}
		}
	}
	return false
}

// expand makes the message of what stands beside a collection's records, where there
// can be any.
func (b *protoBuilder) expand(c *spec.Collection) {
	m := b.records[c.Name]
	if m == nil {
		return
	}
	if x := b.expandOf(m, m.Name); x != nil {
		m.Fields = append(m.Fields, &ProtoField{Name: "expand", Number: numberExpand,
			Kind: ProtoMessageOf, Message: x, Optional: true,
			Doc: "What was expanded, as far as the caller may read it."})
	}
}

func (b *protoBuilder) expandOf(m *ProtoMessage, name string) *ProtoMessage {
	var fields []*ProtoField
	for _, f := range m.Fields {
		if f.Type == nil {
			continue
		}
		elem := f.Type
		if elem.Kind == value.TypeList {
			elem = elem.Elem
		}
		x := &ProtoField{Name: f.Name, Number: f.Number, Kind: ProtoMessageOf, Repeated: f.Repeated,
			Optional: !f.Repeated}
		switch elem.Kind {
		case value.TypeRelation:
			if to := b.spec.Collection(elem.Of); to == nil || to.Allow.Read == nil {
				continue
			}
			x.Message = b.records[elem.Of]
		case value.TypeObject:
			x.Message = b.expandOf(f.Message, name+pascal(singular(f.Name), false))
		}
		if x.Message != nil {
			fields = append(fields, x)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return b.message(name+"Expand", "", fields...)
}

// collection makes the service of a collection.
func (b *protoBuilder) collection(c *spec.Collection) {
	record := b.records[c.Name]
	if record == nil {
		return
	}
	s := b.service(pascal(c.Name, false), c.Doc)
	add := func(name, verb, doc string, in, out *ProtoMessage) *ProtoMethod {
		m := &ProtoMethod{Name: name, Doc: doc, Verb: verb, Target: c.Name, Input: in, Output: out,
			Record: record}
		s.Methods = append(s.Methods, m)
		return m
	}
	one, many := record.Name, pascal(c.Name, false)
	if c.Allow.Read != nil {
		add("Get", "get", "Get returns one record.", b.message("Get"+one+"Request", "",
			text("id", 1), texts("expand", 2)), record)
		add("List", "list", "List returns a page of the records that the filter fits.",
			b.listRequest("List"+many+"Request"), b.listResponse("List"+many+"Response", record))
	}
	if g := c.Allow.Create; g != nil {
		add("Create", "create", "Create makes a record.", b.createRequest(one, c, g), record)
	}
	if g := c.Allow.Update; g != nil {
		patch := b.patch(one, c, g)
		in := b.message("Update"+one+"Request", "", text("id", 1),
			&ProtoField{Name: "patch", Number: 2, Kind: ProtoMessageOf, Message: patch, Optional: true},
			&ProtoField{Name: "update_mask", Number: 3, Kind: ProtoKnown, Known: ProtoMask, Optional: true,
				Doc: "Names the fields of the patch that count: one that is named and not given is " +
					"cleared.\nWithout a mask all that are given count."},
			&ProtoField{Name: "version", Number: 4, Kind: ProtoInt64, Optional: true,
				Doc: "The version that was read: another one is ABORTED, reason STALE."})
		add("Update", "update", "Update changes some fields of a record.", in, record).Patch = patch
	}
	if c.Allow.Delete != nil {
		add("Delete", "delete", "Delete removes a record.", b.message("Delete"+one+"Request", "",
			text("id", 1), &ProtoField{Name: "version", Number: 2, Kind: ProtoInt64, Optional: true}),
			b.message("Delete"+one+"Response", ""))
	}
	if c.Allow.Read != nil {
		ask := func(name string) *ProtoMessage {
			return b.message(name, "",
				doc(texts("select", 1), "Columns, such as sold:sum(quantity) and n:count()."),
				texts("group", 2), text("filter", 3), text("sort", 4), number("limit", 5))
		}
		add("Aggregate", "aggregate", "Aggregate computes over the records that the filter fits.",
			ask("Aggregate"+many+"Request"),
			b.message("Aggregate"+many+"Response", "", &ProtoField{Name: "items", Number: 1,
				Kind: ProtoMessageOf, Message: b.aggregateRow(), Repeated: true}))
		add("Follow", "follow", "Follow keeps the answer of a list true: it sends the records, then "+
			"what changes.", b.message("Follow"+many+"Request", "", text("filter", 1), text("sort", 2),
			number("page_size", 3), texts("expand", 5),
			doc(text("since", 8), "The place of an earlier answer: what changed since is sent, or "+
				"all anew\nif that is too long ago.")), b.changes(one, record))
		s.Methods = append(s.Methods, &ProtoMethod{Name: "FollowAggregate", Verb: ProtoFollowWhole,
			Doc: "FollowAggregate keeps the answer of Aggregate true: it sends it whole, and again " +
				"when it is\nanother one.", Target: c.Name + "/aggregate",
			Input:  ask("FollowAggregate" + many + "Request"),
			Output: b.wholeResponse("FollowAggregate"+many+"Response", b.aggregateRow())})
	}
}

// The numbers of the values of an aggregate.
const (
	ProtoValueInt = iota + 1
	ProtoValueDouble
	ProtoValueString
	ProtoValueBool
	ProtoValueTime
	ProtoValueDuration
)

// aggregateRow makes the message of a row of any aggregate, whose columns the caller names.
func (b *protoBuilder) aggregateRow() *ProtoMessage {
	if b.row != nil {
		return b.row
	}
	v := b.message("AggregateValue", "A value of a column. Sums and extremes are of the kind of "+
		"their field; counts are int_value.",
		&ProtoField{Name: "int_value", Number: ProtoValueInt, Kind: ProtoInt64},
		&ProtoField{Name: "double_value", Number: ProtoValueDouble, Kind: ProtoDouble},
		doc(text("string_value", ProtoValueString), "Texts, ids, words, and days as in 2026-11-21."),
		&ProtoField{Name: "bool_value", Number: ProtoValueBool, Kind: ProtoBool},
		&ProtoField{Name: "time_value", Number: ProtoValueTime, Kind: ProtoKnown, Known: ProtoTimestamp},
		&ProtoField{Name: "duration_value", Number: ProtoValueDuration, Kind: ProtoKnown,
			Known: ProtoDuration})
	v.Choice = "value"
	b.row = b.message("AggregateRow", "", &ProtoField{Name: "columns", Number: 1, Map: true,
		Kind: ProtoMessageOf, Message: v, Doc: "The columns that were asked for, by their names. One " +
			"without a value is not there."})
	return b.row
}

// listRequest is the same for all lists.
func (b *protoBuilder) listRequest(name string) *ProtoMessage {
	m := b.message(name, "The number 6 is kept for a search, which there is not.",
		doc(text("filter", 1), `CEL over the fields, as in price <= 5000 && listed.`),
		doc(text("sort", 2), "Fields, as in -created,name."),
		number("page_size", 3), text("page_token", 4), texts("expand", 5),
		doc(&ProtoField{Name: "total", Number: 7, Kind: ProtoBool}, "Asks for the number of all."))
	m.Reserved = []int32{6}
	return m
}

func (b *protoBuilder) listResponse(name string, record *ProtoMessage) *ProtoMessage {
	return b.message(name, "",
		&ProtoField{Name: "items", Number: 1, Kind: ProtoMessageOf, Message: record, Repeated: true},
		doc(text("next_page_token", 2), "Empty on the last page."),
		&ProtoField{Name: "total", Number: 3, Kind: ProtoInt64, Optional: true})
}

// createRequest has the fields that a client may send, under the numbers of the record.
func (b *protoBuilder) createRequest(one string, c *spec.Collection, g *spec.Grant) *ProtoMessage {
	m := b.message("Create"+one+"Request", "", doc(&ProtoField{Name: spec.FieldID, Number: 1,
		Kind: ProtoString, Optional: true}, "An id of the client's own; without one the call needs "+
		"an idempotency-key."))
	for _, n := range g.Fields {
		if f := b.sendable(c, n.Name); f != nil {
			f.Optional = !f.Repeated && b.mayBeLeftOut(c.Name, f)
			m.Fields = append(m.Fields, f)
		}
	}
	return m
}

// mayBeLeftOut reports whether a record can be made without a field.
func (b *protoBuilder) mayBeLeftOut(collection string, f *ProtoField) bool {
	field := b.spec.Collection(collection).Field(f.Name)
	return f.Type.Optional || field == nil || field.Default.Kind() != value.Absent ||
		!field.Set.Empty()
}

// patch has the same of an update, where everything may be left out.
func (b *protoBuilder) patch(one string, c *spec.Collection, g *spec.Grant) *ProtoMessage {
	m := b.message(one+"Patch", "")
	for _, n := range g.Fields {
		if f := b.sendable(c, n.Name); f != nil {
			f.Optional = !f.Repeated
			m.Fields = append(m.Fields, f)
		}
	}
	return m
}

// sendable returns a copy of a record's field.
func (b *protoBuilder) sendable(c *spec.Collection, name string) *ProtoField {
	for _, f := range b.fields[c.Name] {
		if f.Name == name {
			own := *f
			return &own
		}
	}
	return nil
}

// changes are the messages of Follow.
func (b *protoBuilder) changes(one string, record *ProtoMessage) *ProtoMessage {
	change := b.message(one+"Change", "",
		&ProtoField{Name: "put", Number: 1, Kind: ProtoMessageOf, Message: record,
			Doc: "A record that is in the answer, as it is now."},
		doc(text("del", 2), "The id of one that is not in the answer any more."))
	change.Choice = "change"
	return b.message(one+"Changes", "The changes of one commit.",
		doc(text("at", 1), "The place in the journal, for since."),
		&ProtoField{Name: "changes", Number: 2, Kind: ProtoMessageOf, Message: change, Repeated: true},
		doc(&ProtoField{Name: "reset", Number: 3, Kind: ProtoBool},
			"What was known before is void: the changes are the whole answer."),
		doc(text("by", 4), "The connection whose call it was."),
		doc(&ProtoField{Name: "more", Number: 5, Kind: ProtoBool},
			"Another message of the same commit follows."))
}

// wholeResponse is one of what is followed as a whole.
func (b *protoBuilder) wholeResponse(name string, row *ProtoMessage) *ProtoMessage {
	return b.message(name, "The whole answer, as it is at a place.",
		doc(text("at", 1), "The place in the journal."),
		&ProtoField{Name: "items", Number: 2, Kind: ProtoMessageOf, Message: row, Repeated: true})
}

// view makes the service of a view.
func (b *protoBuilder) view(v *spec.View, shape *value.Shape) {
	row := b.object(v.Name+".", b.message(pascal(singular(v.Name), false), v.Doc), shape, nil, "")
	for _, f := range row.Fields {
		f.Optional = !f.Repeated // a group or a sum may be of nothing
	}
	many := pascal(v.Name, false)
	s := b.service(many, v.Doc)
	s.Methods = append(s.Methods, &ProtoMethod{Name: "List", Doc: "List returns the rows of the view.",
		Verb: "list", Target: v.Name, Input: b.message("List"+many+"Request", ""),
		Output: b.listResponse("List"+many+"Response", row), Record: row},
		&ProtoMethod{Name: "Follow", Doc: "Follow keeps the view true: it sends all rows, and again " +
			"when one of them changed.", Verb: ProtoFollowWhole, Target: v.Name,
			Input:  b.message("Follow"+many+"Request", ""),
			Output: b.wholeResponse("Follow"+many+"Response", row), Record: row})
}

// actions makes the service of all actions.
func (b *protoBuilder) actions() {
	var s *ProtoService
	for _, a := range b.spec.Actions {
		name, scope := pascal(a.Name, false), "actions."+a.Name
		if a.Allow.Empty() {
			continue
		}
		if s == nil {
			s = b.service("Actions", "The operations of the app.")
		}
		m := &ProtoMethod{Name: name, Doc: strings.TrimSpace(a.Doc), Verb: "action", Target: a.Name,
			Reads: a.ReadOnly, Input: b.message(name+"Request", ""),
			Output: b.message(name+"Response", "")}
		if a.Input != nil {
			b.object(scope+".input.", m.Input, a.Input, a.Docs, "input")
		}
		if a.Output != nil {
			b.object(scope+".output.", m.Output, a.Output, a.Docs, "output")
		}
		s.Methods = append(s.Methods, m)
	}
}

func text(name string, n int32) *ProtoField {
	return &ProtoField{Name: name, Number: n, Kind: ProtoString}
}

func texts(name string, n int32) *ProtoField {
	return &ProtoField{Name: name, Number: n, Kind: ProtoString, Repeated: true}
}

func number(name string, n int32) *ProtoField {
	return &ProtoField{Name: name, Number: n, Kind: ProtoInt32}
}

func doc(f *ProtoField, text string) *ProtoField {
	f.Doc = text
	return f
}
