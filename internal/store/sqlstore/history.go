package sqlstore

import (
	"context"
	"strings"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

var _ store.History = (*Store)(nil)

// Entries returns the entries that fit the filter, the newest first. A look for a
// record reads the whole journal back to the place where enough were found.
func (s *Store) Entries(
	ctx context.Context, f store.Filter, before journal.Seq, limit int,
) ([]journal.Entry, error) {
	var where []string
	var args []value.Value
	ask := func(sql string, v value.Value) {
		args = append(args, v)
		where = append(where, sql+s.dialect.Placeholder(len(args)))
	}
	if before.Lo > 0 {
		ask("seq < ", value.OfInt(int64(before.Lo)))
	}
	if f.Subject != "" {
		ask("subject = ", value.OfText(f.Subject))
	}
	if f.Operation != "" {
		ask("operation = ", value.OfText(f.Operation))
	}
	if f.Call != "" {
		ask("call = ", value.OfText(string(f.Call)))
	}
	if f.Record != "" {
		// Ids hold no letter that LIKE takes for another.
		ask("changes LIKE ", value.OfText(`%"id":"`+string(f.Record)+`"%`))
	}
	if f.Collection != "" {
		ask("changes LIKE ", value.OfText(`%"collection":"`+f.Collection+`"%`))
	}
	rest := ""
	if len(where) > 0 {
		rest = " WHERE " + strings.Join(where, " AND ")
	}
	if limit <= 0 || limit > store.EntriesMax {
		limit = store.EntriesMax
	}
	args = append(args, value.OfInt(int64(limit)))
	found, err := s.entries(ctx, rest+" ORDER BY seq DESC LIMIT "+
		s.dialect.Placeholder(len(args)), args)
	if err != nil {
		return nil, err
	}
	// LIKE may take a text of a record for the name of one.
	out := found[:0]
	for _, e := range found {
		if f.Matches(e) {
			out = append(out, e)
		}
	}
	return out, nil
}
