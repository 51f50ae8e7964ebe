package spec

import (
	"cmp"
	"strings"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

// MessageMax is the greatest size of a message in a channel, in bytes of JSON.
const MessageMax = 16 << 10

// ChannelNameMax is the greatest length of a channel's name, in bytes.
const ChannelNameMax = 200

// Channel is a family of channels: those whose names fit one pattern.
type Channel struct {
	// Name is the pattern as it is written, such as board/{board:boards}.
	Name string
	Doc  string
	Pos  Pos
	// Parts are the pattern's segments.
	Parts []ChannelPart
	// Join says who may be in it, Send which of them may send; Send is empty where only
	// code sends.
	Join Text
	Send Text
	// Shown says that members see who else is there, Presence which fields of users they
	// see of one another.
	Shown    bool
	Presence []Name
}

// ChannelPart is one segment of a pattern: a word, or a typed parameter.
type ChannelPart struct {
	// Word is what must stand there; "" for a parameter.
	Word string
	// Param names the parameter, Type is its own.
	Param Name
	Type  value.Type
}

// Params returns the shape of the parameters, in their order.
func (c *Channel) Params() *value.Shape {
	var fields []value.Field
	for _, p := range c.Parts {
		if p.Word == "" {
			fields = append(fields, value.Field{Name: p.Param.Name, Type: p.Type})
		}
	}
	return value.NewShape("", fields)
}

// Shape returns the pattern without the names and types of its parameters: two with the
// same one would fit the same names.
func (c *Channel) Shape() string {
	parts := make([]string, len(c.Parts))
	for i, p := range c.Parts {
		parts[i] = cmp.Or(p.Word, "{}")
	}
	return strings.Join(parts, "/")
}

// Plain returns the pattern without the types of its parameters.
func (c *Channel) Plain() string {
	parts := make([]string, len(c.Parts))
	for i, p := range c.Parts {
		parts[i] = p.Word
		if p.Word == "" {
			parts[i] = "{" + p.Param.Name + "}"
		}
	}
	return strings.Join(parts, "/")
}

// Channel returns the family to which a name belongs and the values of its parameters;
// nil if there is none. Of families that fit, the one whose word stands further left is
// meant, and no other. Each channel has one name: what is only another spelling of it
// belongs to no family.
func (s *Spec) Channel(name string) (*Channel, []value.Value) {
	if len(name) > ChannelNameMax {
		return nil, nil
	}
	segments := strings.Split(name, "/")
	var best *Channel
	for _, c := range s.Channels {
		if c.fits(segments) && (best == nil || c.closer(best)) {
			best = c
		}
	}
	if best == nil {
		return nil, nil
	}
	var values []value.Value
	for i, p := range best.Parts {
		if p.Word != "" {
			continue
		}
		v, ok := p.parse(segments[i])
		if !ok {
			return nil, nil
		}
		values = append(values, v)
	}
	return best, values
}

// fits reports whether the words of the pattern stand in the segments.
func (c *Channel) fits(segments []string) bool {
	if len(segments) != len(c.Parts) {
		return false
	}
	for i, p := range c.Parts {
		if p.Word != "" && p.Word != segments[i] {
			return false
		}
	}
	return true
}

// closer reports whether the pattern has a word where the other has a parameter, before
// it is the other way round.
func (c *Channel) closer(other *Channel) bool {
	for i, p := range c.Parts {
		if word := p.Word != ""; word != (other.Parts[i].Word != "") {
			return word
		}
	}
	return false
}

// parse reads a segment as the parameter's value, if it is written in its one form.
func (p *ChannelPart) parse(segment string) (value.Value, bool) {
	if segment == "" || segment == "." || segment == ".." ||
		strings.TrimSpace(segment) != segment {
		return value.Value{}, false
	}
	if p.Type.Kind == value.TypeRelation {
		id, err := ident.ParseRecord(segment)
		return value.OfText(string(id)), err == nil
	}
	v, issues := value.ParseText(&p.Type, segment, "")
	if len(issues) > 0 {
		return value.Value{}, false
	}
	form := v.Text()
	if v.Kind() != value.Text {
		form = strings.Trim(string(value.AppendJSON(nil, v)), `"`)
	}
	return v, form == segment
}
