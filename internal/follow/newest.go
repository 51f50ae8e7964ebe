package follow

import (
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Is asks that a field of text has a value; "" asks for nothing.
type Is struct{ Field, Text string }

// Newest asks for the newest records of a collection that are as they should be, at most a
// number of them, and made before a record where one is given.
func Newest(collection string, before ident.Record, limit int, all ...Is) query.Query {
	field := func(name string, kind value.TypeKind) query.Expr {
		return query.Field{Of: query.Row{}, Collection: collection, Name: name,
			Type: value.Type{Kind: kind}}
	}
	var where []query.Expr
	var args []value.Value
	given := func(kind value.TypeKind, text string) query.Expr {
		args = append(args, value.OfText(text))
		return query.Param{Index: len(args) - 1, Type: value.Type{Kind: kind}}
	}
	for _, is := range all {
		if is.Text != "" {
			where = append(where, query.Same{L: field(is.Field, value.TypeString),
				R: given(value.TypeString, is.Text)})
		}
	}
	id := field(spec.FieldID, value.TypeID)
	if before != "" {
		where = append(where, query.Compare{Op: "<", L: id, R: given(value.TypeID, string(before))})
	}
	plan := &query.Plan{From: collection, Limit: limit, Sort: []query.Order{{By: id, Desc: true}}}
	if len(where) > 0 {
		plan.Where = query.And{Of: where}
	}
	return query.Query{Plan: plan, Args: args}
}
