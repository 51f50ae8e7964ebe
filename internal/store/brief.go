package store

import "context"

type briefKey struct{}

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
