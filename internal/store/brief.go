package store

import (
	"context"
	"iter"

	"github.com/galleybackend/galley/internal/ident"
)

type (
	briefKey  struct{}
	namingKey struct{}
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
