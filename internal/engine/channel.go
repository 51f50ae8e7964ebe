package engine

import (
	"context"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// The verbs of a call about a channel, whose name is the Target. They are for Enter
// alone. Rejoin asks what Join asks, of one who is a member already, and is not counted
// as a call; nor is Send, whose bound is the channel's own.
const (
	Join Verb = Proxy + 1 + iota
	Rejoin
	Send
)

// Entrance is what a caller is told who may join a channel, or send to it.
type Entrance struct {
	// Family is what the app file says of the channel.
	Family *app.Channel
	// Params are the parameters in the channel's name.
	Params  value.Record
	Subject ident.Subject
	// User is what members see of one another's users as JSON, null for a caller who is
	// none.
	User string
}

// Enter decides whether a caller may do in a channel what the call's verb says. Each
// record that the channel's name holds must be there; a caller hears the same of one
// that is not as of one whose channel he may not join. An error is a *fault.Fault.
func (e *Engine) Enter(ctx context.Context, call Call) (Entrance, error) {
	if err := e.enter(); err != nil {
		return Entrance{}, err
	}
	defer e.leave()
	r := e.begin(call)
	defer r.leave()
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	var in Entrance
	err := e.store.Read(ctx, func(v store.View) (err error) {
		in, err = r.enterChannel(ctx, v)
		return err
	})
	return in, r.end("", err)
}

func (r *run) enterChannel(ctx context.Context, v store.View) (Entrance, error) {
	r.stage("authenticate")
	if err := r.authenticate(ctx, v); err != nil {
		return Entrance{}, err
	}
	if err := r.look(ctx, v); err != nil {
		return Entrance{}, err
	}
	r.stage("resolve")
	family, params := r.Channel(r.call.Target)
	if family == nil || r.call.Verb < Join || r.call.Verb > Send {
		return Entrance{}, errNotFound()
	}
	allow, what := family.Join, ".join"
	if r.call.Verb == Send {
		allow, what = family.Send, ".send"
	}
	op := &operation{name: "channels." + family.Name + what}
	if s := r.call.Seen; s != nil {
		s.Operation = op.name
	}
	if r.call.Verb == Join {
		r.stage("admit")
		if err := r.admit(op); err != nil {
			return Entrance{}, err
		}
	}
	r.stage("authorize")
	for i, f := range params.Shape.Fields() {
		if f.Type.Kind != value.TypeRelation {
			continue
		}
		_, err := v.Get(ctx, f.Type.Of, ident.Record(params.Slots[i].Text()))
		switch {
		case fault.Is(err, fault.NotFound) && r.free():
			return Entrance{}, errNotFound()
		case fault.Is(err, fault.NotFound):
			return Entrance{}, r.denied(allow)
		case err != nil:
			return Entrance{}, err
		}
	}
	r.about(value.Record{}, value.Record{}, value.Record{})
	r.in.Args = params
	if err := r.allowed(ctx, allow); err != nil {
		return Entrance{}, err
	}
	user, err := r.shown(family)
	return Entrance{Family: family, Params: params, Subject: r.subject, User: user}, err
}

// shown is what members of the family see of the caller.
func (r *run) shown(family *app.Channel) (string, error) {
	if r.me.Zero() || family.Shown == nil {
		return "null", nil
	}
	if err := r.aligned(r.Collection(usersName), r.me.Shape); err != nil {
		return "", err
	}
	b := value.AppendJSON([]byte(`{"id":`), r.me.Slots[spec.SlotID])
	for _, slot := range family.Shown {
		b = append(b, ',')
		b = value.AppendQuoted(b, r.me.Shape.Fields()[slot].Name)
		b = value.AppendJSON(append(b, ':'), r.me.Slots[slot])
	}
	return string(append(b, '}')), nil
}

// messagesMax is how many messages one transaction may publish.
const messagesMax = 100

// published makes sure that a message can be told, and gives it its short form.
func (h *host) published(i *journal.Intent) error {
	if family, _ := h.Channel(i.Name); family == nil {
		return internal("there is no channel %q", i.Name)
	}
	if h.wallet.messages++; h.wallet.messages > messagesMax {
		return fault.New(fault.Invalid, "One transaction publishes at most %d messages.", messagesMax)
	}
	given := i.Payload.Record().Clone()
	v, issues := value.Conform(&value.Type{Kind: value.TypeJSON}, given.Slots[0], "#/message")
	switch {
	case len(issues) > 0:
		return internal("the message to %s %s", i.Name, issues[0].Detail)
	case len(v.Text()) > spec.MessageMax:
		return fault.New(fault.TooLarge, "A message has at most %d bytes.", spec.MessageMax)
	}
	given.Slots[0] = v
	i.Payload = value.OfRecord(given)
	return nil
}
