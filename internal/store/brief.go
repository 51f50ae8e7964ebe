package store

import (
	"context"
	"iter"

	"github.com/galleybackend/galley/internal/ident"
)

type (
	briefKey    struct{}
	namingKey   struct{}
	vouchingKey struct{}
)

// Brief marks a Read whose function asks for one record by a key and no more. A store
// for which every question is a round trip lets several of them share one. A function
// that asks for more than it said is called again; only the last call counts.
func Brief(ctx context.Context) context.Context {
	return context.WithValue(ctx, briefKey{}, true)
}

// IsBrief reports whether ctx is marked by Brief.
func IsBrief(ctx context.Context) bool {
	brief, _ := ctx.Value(briefKey{}).(bool)
	return brief
}

// Naming tells a Write which records, by collection and id, its function will probably
// look at. A store for which every question is a round trip reads them with the first
// answer. Nothing depends on it but time.
func Naming(
	ctx context.Context, records iter.Seq2[string, ident.Record],
) context.Context {
	return context.WithValue(ctx, namingKey{}, records)
}

// Named yields what Naming told.
func Named(ctx context.Context) iter.Seq2[string, ident.Record] {
	if records, ok := ctx.Value(namingKey{}).(iter.Seq2[string, ident.Record]); ok {
		return records
	}
	return func(func(string, ident.Record) bool) {}
}

// Vouching has a Write ask vouch, on a committed state and before anything else that the
// database knows is told: before its function is called, and before it is looked whether
// the call was done already. vouch asks for one record by a key and no more, and may be
// called again; its error ends the Write, of which nothing is kept.
func Vouching(ctx context.Context, vouch func(context.Context, View) error) context.Context {
	return context.WithValue(ctx, vouchingKey{}, vouch)
}

// Voucher returns what Vouching gave, or nil.
func Voucher(ctx context.Context) func(context.Context, View) error {
	vouch, _ := ctx.Value(vouchingKey{}).(func(context.Context, View) error)
	return vouch
}
