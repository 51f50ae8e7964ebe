package codegen

import (
	"encoding/json"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// recordSchema describes a record as a caller may get it.
func recordSchema(c *spec.Collection) object {
	props, required := object{}, []any{}
	for _, f := range c.All() {
		if f.Hidden {
			continue
		}
		props[f.Name] = fieldSchema(f)
		if f.Read.Empty() {
			required = append(required, f.Name)
		}
	}
	if hasRelations(c) {
		props["expand"] = object{"type": "object", "additionalProperties": true,
			"description": "The records that expand asked for, by the name of the relation."}
	}
	return object{"type": "object", "properties": props, "required": required,
		"description": sentence(c.Doc, "A record of "+c.Name+".") +
			" With the parameter fields, only what it names is there."}
}

func hasRelations(c *spec.Collection) bool {
	for _, f := range c.Fields {
		t := &f.Type
		if t.Kind == value.TypeList {
			t = t.Elem
		}
		if t.Kind == value.TypeRelation && !f.Hidden {
			return true
		}
	}
	return false
}

// createSchema describes what a client may send to create a record.
func createSchema(c *spec.Collection) object {
	props, required := object{"id": object{"$ref": "#/components/schemas/id",
		"description": "An id of your own. With it no Idempotency-Key is needed."}}, []any{}
	for _, n := range c.Allow.Create.Fields {
		f := c.Field(n.Name)
		if f == nil {
			continue
		}
		props[f.Name] = fieldSchema(f)
		if !f.Type.Optional && f.Default.Kind() == value.Absent && f.Set.Empty() {
			required = append(required, f.Name)
		}
	}
	s := object{"type": "object", "properties": props, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// updateSchema describes a merge patch.
func updateSchema(c *spec.Collection) object {
	props := object{}
	for _, n := range c.Allow.Update.Fields {
		f := c.Field(n.Name)
		if f == nil {
			continue
		}
		plain := fieldSchema(f)
		delete(plain, "default")
		if ops := operators(&f.Type); ops != nil {
			plain = object{"anyOf": []any{plain, ops}}
		}
		props[f.Name] = plain
	}
	return object{"type": "object", "properties": props, "additionalProperties": false}
}

// operators describes the operators of a type, nil where it has none.
func operators(t *value.Type) object {
	operand := object{"type": "number"}
	names := []string{"$add", "$max", "$min"}
	switch t.Kind {
	case value.TypeInt, value.TypeMoney:
		operand = object{"type": "integer"}
	case value.TypeFloat:
	case value.TypeList:
		operand, names = typeSchema(t.Elem), []string{"$append", "$remove"}
	default:
		return nil
	}
	props := object{}
	for _, n := range names {
		props[n] = operand
	}
	return object{"type": "object", "properties": props, "additionalProperties": false,
		"minProperties": 1, "maxProperties": 1}
}

func fieldSchema(f *spec.Field) object {
	s := typeSchema(&f.Type)
	if f.Doc != "" {
		s["description"] = f.Doc
	}
	if f.Default.Kind() > value.Null {
		s["default"] = json.RawMessage(value.AppendJSON(nil, f.Default))
	}
	return s
}

// typeSchema describes the values of a type.
func typeSchema(t *value.Type) object {
	s := plainSchema(t)
	if !t.Optional {
		return s
	}
	if kind, ok := s["type"].(string); ok {
		s["type"] = []any{kind, "null"}
		if words, ok := s["enum"].([]any); ok {
			s["enum"] = append(words, nil)
		}
		return s
	}
	if _, ok := s["$ref"]; ok {
		return object{"anyOf": []any{s, object{"type": "null"}}}
	}
	return s
}

func plainSchema(t *value.Type) object {
	switch t.Kind {
	case value.TypeInt, value.TypeMoney:
		s := object{"type": "integer", "format": "int64",
			"minimum": bound(t.Min, -value.IntMax), "maximum": bound(t.Max, value.IntMax)}
		if t.Kind == value.TypeMoney {
			s["description"] = "Money in whole minor units."
		}
		return s
	case value.TypeFloat:
		s := object{"type": "number"}
		if t.Min != nil {
			s["minimum"] = t.Min.Float
		}
		if t.Max != nil {
			s["maximum"] = t.Max.Float
		}
		return s
	case value.TypeBool:
		return object{"type": "boolean"}
	case value.TypeTime:
		return object{"type": "string", "format": "date-time"}
	case value.TypeDate:
		return object{"type": "string", "format": "date"}
	case value.TypeDuration:
		return object{"type": "string", "description": "A time span such as 1h30m or 90s."}
	case value.TypeEnum:
		words := []any{}
		for _, w := range t.Words {
			words = append(words, w)
		}
		return object{"type": "string", "enum": words}
	case value.TypeRelation:
		return object{"$ref": "#/components/schemas/id", "description": "The id of one of " + t.Of +
			"."}
	case value.TypeID:
		return ref("schemas", "id")
	case value.TypeList:
		s := object{"type": "array", "items": typeSchema(t.Elem),
			"maxItems": bound(t.Max, value.ListMax)}
		if t.Min != nil {
			s["minItems"] = t.Min.Int
		}
		return s
	case value.TypeObject:
		return shapeSchema(t.Fields, nil)
	case value.TypeJSON:
		return object{"description": "Any JSON."}
	default:
		return textSchema(t)
	}
}

func textSchema(t *value.Type) object {
	s := object{"type": "string"}
	switch t.Kind {
	case value.TypeEmail:
		s["format"] = "email"
	case value.TypeURL:
		s["format"] = "uri"
	case value.TypeText:
		s["maxLength"] = bound(t.Max, value.TextMax)
	default:
		s["maxLength"] = bound(t.Max, value.StringMax)
	}
	if t.Min != nil && t.Min.Int > 0 {
		s["minLength"] = t.Min.Int
	}
	if t.Pattern != nil {
		s["pattern"] = t.Pattern.Text
	}
	return s
}

func bound(b *value.Bound, otherwise int64) int64 {
	if b == nil {
		return otherwise
	}
	return b.Int
}

// shapeSchema describes an input, an output or an object in a list. docs holds the
// comments of its fields by name; nil has none.
func shapeSchema(s *value.Shape, docs map[string]string) object {
	props, required := object{}, []any{}
	for i := range s.Fields() {
		f := &s.Fields()[i]
		p := typeSchema(&f.Type)
		if doc := docs[f.Name]; doc != "" {
			p["description"] = doc
		}
		props[f.Name] = p
		if !f.Type.Optional && f.Default.Kind() == value.Absent {
			required = append(required, f.Name)
		}
	}
	out := object{"type": "object", "properties": props, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// idSchema describes an id.
func idSchema() object {
	return object{"type": "string", "pattern": "^[0-7][0-9a-hjkmnp-tv-z]{25}$",
		"description": "26 characters that sort by the time of their making.",
		"examples":    []any{string(ident.FromBytes([16]byte{1, 0x9a, 6: 0x70, 8: 0x80}))}}
}
