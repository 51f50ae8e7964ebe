package app

import (
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Channel is a compiled family of channels.
type Channel struct {
	Name string
	Spec *spec.Channel
	// Params is the shape of the parameters, which are variables of the rules.
	Params *value.Shape
	Join   *rule.Rule
	// Send is nil where only code sends.
	Send *rule.Rule
	// Same reports that Send says what Join says, at any time: who is a member may send.
	Same bool
	// Reads are the collections whose records Join, and what is shown of its members,
	// depend on, sorted.
	Reads []string
	// looks are the places at which Join looks into a collection, where each has ties.
	looks map[string][][]rule.Tie
	// Shown are the slots of users that members see of one another; nil where they do
	// not see who is there.
	Shown []int
}

// Channels returns the families of channels in the order of the app file.
func (a *App) Channels() []*Channel { return a.channels }

// Channel returns the family to which a name belongs, and its parameters; nil if there
// is none.
func (a *App) Channel(name string) (*Channel, value.Record) {
	x, values := a.Spec.Channel(name)
	if x == nil {
		return nil, value.Record{}
	}
	for _, c := range a.channels {
		if c.Spec == x {
			return c, value.Record{Shape: c.Params, Slots: values}
		}
	}
	return nil, value.Record{}
}

// Concerns reports whether a change of one of the collections that Reads names may matter
// to a user who is in the channel with the parameters.
func (x *Channel) Concerns(c *journal.Change, params value.Record, user ident.Record) bool {
	if c.Collection == spec.Users && c.ID == user {
		return true
	}
	for i, f := range x.Params.Fields() {
		if f.Type.Of == c.Collection && params.Slots[i].Text() == string(c.ID) {
			return true
		}
	}
	looks, narrow := x.looks[c.Collection]
	if !narrow {
		return x.Join != nil && slices.Contains(x.Join.Reads(), c.Collection)
	}
	for _, ties := range looks {
		if tied(ties, c.Before, params, user) || tied(ties, c.After, params, user) {
			return true
		}
	}
	return false
}

// Reach says where those are whom a change may matter to, of one family.
type Reach struct {
	// All says that they may be in any of its channels. Otherwise they are in those of which
	// a parameter is one of Params, as ParamKey writes them, or are one of Users, where ""
	// stands for all who are not signed in.
	All    bool
	Params []string
	Users  []ident.Record
}

// Reach returns where those are whom Concerns names.
func (x *Channel) Reach(c *journal.Change) (r Reach) {
	if c.Collection == spec.Users {
		r.Users = append(r.Users, c.ID)
	}
	for _, f := range x.Params.Fields() {
		if f.Type.Of == c.Collection {
			r.Params = append(r.Params, string(c.ID))
			break
		}
	}
	looks, narrow := x.looks[c.Collection]
	if !narrow {
		r.All = x.Join != nil && slices.Contains(x.Join.Reads(), c.Collection)
		return r
	}
	for _, ties := range looks {
		by := ties[0]
		for _, t := range ties {
			if t.Name != "auth" {
				by = t // a channel has few members, a user may have many connections
			}
		}
		for _, record := range []value.Record{c.Before, c.After} {
			if record.Zero() {
				continue
			}
			switch v := record.Get(by.Field); {
			case v.Kind() == value.Absent:
				r.All = true
			case by.Name == "auth":
				r.Users = append(r.Users, ident.Record(v.Text()))
			default:
				r.Params = append(r.Params, ParamKey(v))
			}
		}
	}
	return r
}

// ParamKey writes the value of a parameter as a text of its own.
func ParamKey(v value.Value) string {
	if v.Kind() == value.Text {
		return v.Text()
	}
	return string(value.AppendJSON(nil, v))
}

// tied reports whether a record may be one that a place of the rule finds.
func tied(ties []rule.Tie, record, params value.Record, user ident.Record) bool {
	if record.Zero() {
		return false
	}
	for _, t := range ties {
		want := value.OfText(string(user))
		if i, ok := params.Shape.Index(t.Name); ok {
			want = params.Slots[i]
		} else if user == "" {
			want = value.OfNull()
		}
		got := record.Get(t.Field)
		if got.Kind() != value.Absent && !got.Equal(want) && !(got.IsNull() && want.IsNull()) {
			return false
		}
	}
	return true
}

// channelsOf compiles the channels.
func (c *compiler) channelsOf(s *spec.Spec) {
	users := c.app.byName[spec.Users]
	for _, x := range s.Channels {
		out := &Channel{Name: x.Name, Spec: x, Params: x.Params()}
		compile := func(text spec.Text, what string) *rule.Rule {
			if text.Empty() {
				return nil
			}
			return c.rule(text, rule.Scope{Name: "channels." + x.Name + "." + what,
				Args: out.Params, NoSQL: true})
		}
		out.Join, out.Send = compile(x.Join, "join"), compile(x.Send, "send")
		out.Same = out.Join != nil && out.Send != nil &&
			out.Join.Expanded() == out.Send.Expanded() && !strings.Contains(out.Join.Expanded(), "now")
		out.reads()
		if x.Shown {
			out.Shown = []int{}
		}
		for _, name := range x.Presence {
			if slot, ok := users.Shape.Index(name.Name); ok {
				out.Shown = append(out.Shown, slot)
			}
		}
		c.app.channels = append(c.app.channels, out)
	}
}

// reads notes which collections matter to who is in it.
func (x *Channel) reads() {
	add := func(name string) {
		if !slices.Contains(x.Reads, name) {
			x.Reads = append(x.Reads, name)
		}
	}
	add(spec.Users) // who is not there any more is in no channel
	for _, f := range x.Params.Fields() {
		if f.Type.Kind == value.TypeRelation {
			add(f.Type.Of)
		}
	}
	x.looks = map[string][][]rule.Tie{}
	if x.Join != nil {
		for _, name := range x.Join.Reads() {
			add(name)
			if places, ok := x.Join.Ties(name); ok {
				x.looks[name] = places
			}
		}
	}
	slices.Sort(x.Reads)
}

// surface returns what of a family is open.
func (x *Channel) surface() []Row {
	path := x.Spec.Plain()
	row := func(method string, r *rule.Rule, out []string) Row {
		return Row{Method: method, Path: path, Who: Who(r), Place: Place(r.Text().Pos), Out: out}
	}
	var shown []string
	if x.Spec.Shown {
		shown = []string{"who", "user.id"}
		for _, name := range x.Spec.Presence {
			shown = append(shown, "user."+name.Name)
		}
		shown = append(shown, "state")
	}
	rows := []Row{row("JOIN", x.Join, append([]string{"messages"}, shown...))}
	if x.Send != nil {
		rows = append(rows, row("SEND", x.Send, nil))
	}
	return rows
}
