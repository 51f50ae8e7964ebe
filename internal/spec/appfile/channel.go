package appfile

import (
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// The bounds of channels.
const (
	channelMax      = 200
	channelPartsMax = 10
	presenceMax     = 20
)

var channelKeys = keys{now: []string{"join", "send", "presence"}}

// channelTypes are the words for the types of parameters that are no records.
var channelTypes = []string{"string", "int", "date"}

// channels reads the families of channels.
func (r *reader) channels(n *node) {
	if n == nil {
		return
	}
	for _, e := range r.pairs(n, "channels") {
		c := &spec.Channel{Name: e.key.text, Pos: e.key.pos, Doc: r.doc(e.key)}
		if !r.pattern(e.key, c) {
			continue
		}
		same := func(o *spec.Channel) bool { return o.Shape() == c.Shape() }
		if i := slices.IndexFunc(r.spec.Channels, same); i >= 0 {
			first := r.spec.Channels[i]
			f := spec.Finding{Message: c.Name + " is declared twice", See: first.Pos}
			if first.Name != c.Name {
				f.Message = c.Name + " and " + first.Name + " would have the same names"
			}
			r.tell(e.key, f)
			continue
		}
		if len(r.spec.Channels) >= channelMax {
			r.fail(e.key, "", "an app has at most %d channels", channelMax)
			return
		}
		r.spec.Channels = append(r.spec.Channels, c)
		r.channel(e, c)
	}
}

// channel reads who may do what in one of them.
func (r *reader) channel(e entry, c *spec.Channel) {
	m := r.read(e.value, c.Name, channelKeys)
	if n := m["join"]; n != nil {
		c.Join = r.cel(n, "join")
	} else if e.value.kind == mapping && e.value.get("join") == nil {
		r.fail(e.key, "write join: auth != null, or join: true for everybody",
			"%s does not say who may join", c.Name)
	}
	if n := m["send"]; n != nil {
		c.Send = r.cel(n, "send")
	}
	n := m["presence"]
	if n == nil {
		return
	}
	c.Shown = true
	users := r.spec.Collection(spec.Users)
	for _, item := range r.names(n, "presence", presenceMax) {
		switch {
		case users == nil && r.spec.Unread.Names[spec.Users]:
			continue
		case users == nil:
			r.fail(item, "write presence: []", "the app has no users, so nothing can be shown of them")
			continue
		}
		f := r.known(users, item, item.text)
		switch {
		case f == nil:
		case f.Name == spec.FieldID:
			r.fail(item, "remove it", "the id is always shown")
		case f.Hidden || !f.Read.Empty():
			r.fail(item, "remove it, or its read", "presence shows %s to all members, "+
				"but not everybody who sees a user may read it", f.Name)
		default:
			c.Presence = append(c.Presence, nameOf(item))
		}
	}
}

// pattern reads the name of a family: words and typed parameters, with / between.
func (r *reader) pattern(key *node, c *spec.Channel) bool {
	const help = "write words and {parameters} with / between, such as board/{board:boards}"
	text := key.text
	segments := strings.Split(text, "/")
	switch {
	case len(text) > spec.ChannelNameMax:
		r.fail(key, "", "the name of a channel has at most %d characters", spec.ChannelNameMax)
		return false
	case len(segments) > channelPartsMax:
		r.fail(key, "", "the name of a channel has at most %d parts", channelPartsMax)
		return false
	}
	column := key.pos.Column
	if key.quoted {
		column++
	}
	for _, s := range segments {
		at := &node{kind: scalar, text: s, width: max(1, len([]rune(s))),
			pos: spec.Pos{File: key.pos.File, Line: key.pos.Line, Column: column}}
		column += len([]rune(s)) + 1
		inner, opened := strings.CutPrefix(s, "{")
		inner, closed := strings.CutSuffix(inner, "}")
		switch {
		case opened && closed:
			part, ok := r.param(at, inner, c)
			if !ok {
				return false
			}
			c.Parts = append(c.Parts, part)
		case opened || closed || strings.ContainsAny(s, "{}"):
			r.fail(at, help, "a {parameter} is one whole part of a channel's name")
			return false
		case s == "":
			r.fail(at, help, "a part of the channel's name is empty")
			return false
		case s == "." || s == ".." || strings.Trim(s, wordBytes) != "":
			r.fail(at, help, "%q cannot be a part of a channel's name", s)
			return false
		default:
			c.Parts = append(c.Parts, spec.ChannelPart{Word: s})
		}
	}
	return true
}

// wordBytes are those of the words in a channel's name.
const wordBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"

// param reads what stands between { and }: a name, and its type behind a colon.
func (r *reader) param(at *node, text string, c *spec.Channel) (spec.ChannelPart, bool) {
	name, kind, typed := strings.Cut(text, ":")
	place := *at
	place.text, place.width = name, max(1, len([]rune(name)))
	place.pos.Column++
	same := func(p spec.ChannelPart) bool { return p.Param.Name == name }
	part := spec.ChannelPart{Param: nameOf(&place), Type: value.Type{Kind: value.TypeString}}
	switch {
	case !r.named(&place, "a parameter"):
		return part, false
	case slices.Contains(r.collections, name):
		r.fail(&place, "choose another name, such as "+strings.TrimSuffix(name, "s"),
			"%s cannot name a parameter: it is a collection", name)
		return part, false
	case name == "auth" || wordTaken(name) != "":
		why := wordTaken(name)
		if why == "" {
			why = "rules have a variable of that name"
		}
		r.fail(&place, "choose another name", "%s cannot name a parameter: %s", name, why)
		return part, false
	case slices.ContainsFunc(c.Parts, same):
		r.fail(&place, "", "the parameter %s is named twice", name)
		return part, false
	case !typed:
		return part, true
	}
	place.pos.Column += len([]rune(name)) + 1
	place.text, place.width = kind, max(1, len([]rune(kind)))
	switch i := slices.Index(typeWords(), kind); {
	case slices.Contains(r.collections, kind):
		part.Type = value.Type{Kind: value.TypeRelation, Of: kind}
	case r.spec.Unread.Names[kind]:
		return part, false // what is wrong with the collection was told where it is written
	case slices.Contains(channelTypes, kind):
		part.Type = value.Type{Kind: scalarTypes[i].kind}
	default:
		known := slices.Concat(channelTypes, r.collections)
		near := r.unknown(&place, known, "a parameter is a collection's record, or "+
			strings.Join(channelTypes, ", "), "%q cannot be the type of a parameter", kind)
		if !slices.Contains(r.collections, near) {
			return part, false
		}
		part.Type = value.Type{Kind: value.TypeRelation, Of: near}
	}
	return part, true
}
