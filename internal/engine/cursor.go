package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/value"
)

// A cursor holds the sort values of the last row of a page. It is authenticated
// together with the list and the user that it belongs to, so that it works for these
// alone, and only as it was given out.

const (
	macSize = 16
	// cursorMax is the greatest length of a cursor, in bytes.
	cursorMax = 8 << 10
)

// cursorAt returns the cursor behind a row. The row still has all its fields.
func (r *run) cursorAt(l *listing, p params, row value.Record) string {
	at := value.NewRecord(l.cursor)
	for i, k := range l.sort {
		at.Slots[i] = row.Slots[k.slot]
	}
	text := value.AppendRecord(make([]byte, macSize, 128), at)
	copy(text, r.mac(p, text[macSize:]))
	return base64.RawURLEncoding.EncodeToString(text)
}

// mac binds the text of a cursor to what it belongs to: who asks, for which records, in
// which order. How many at once and what of them may change from page to page.
func (r *run) mac(p params, text []byte) []byte {
	b := make([]byte, 0, 512)
	for _, part := range [...]string{string(text), r.subject.String(), p.coll.Name,
		p.get(paramFilter), p.get(paramSort), strings.Join(p.equal, ",")} {
		b = appendSized(b, part)
	}
	for _, name := range p.equal {
		b = appendSized(b, p.get(name))
	}
	h := hmac.New(sha256.New, r.engine.secret)
	h.Write(b)
	return h.Sum(nil)[:macSize]
}

// after returns the plan of the page behind a cursor, with its arguments.
func (r *run) after(l *listing, key string, p params, args []value.Value) (
	*query.Plan, []value.Value, error) {
	at, err := r.cursorOf(l, p)
	if err != nil {
		return nil, nil, err
	}
	var nulls strings.Builder
	for _, v := range at.Slots {
		nulls.WriteByte(map[bool]byte{true: '0', false: '1'}[v.IsNull()])
	}
	key = "after\x00" + nulls.String() + "\x00" + key
	kept, _ := r.plans.get(key)
	plan, ok := kept.(*query.Plan)
	if !ok {
		where := l.behind(at)
		if l.where != nil {
			where = query.And{Of: []query.Expr{l.where, where}}
		}
		plan = l.page(where)
		r.plans.put(key, plan)
	}
	return plan, append(args[:l.size:l.size], at.Slots...), nil
}

func (r *run) cursorOf(l *listing, p params) (value.Record, error) {
	text := p.get(paramCursor)
	if len(text) > cursorMax || strings.ContainsAny(text, "\r\n") { // the decoder skips these
		return value.Record{}, errCursor()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < macSize || !hmac.Equal(raw[:macSize], r.mac(p, raw[macSize:])) {
		return value.Record{}, errCursor()
	}
	at, err := value.DecodeStored(l.cursor, raw[macSize:])
	if err != nil {
		return value.Record{}, errCursor()
	}
	return at, nil
}

func errCursor() error {
	f := fault.WithCode(fault.Malformed, "invalid_cursor",
		"The cursor does not belong to this list. Start again without it.")
	f.At = fault.Place{Parameter: paramCursor}
	return f
}

// behind is the condition of the rows that come after the values of a cursor: those
// with a later first key, or with the same first key and a later second, and so on.
// The first key's own bound stands before, where an index can use it.
func (l *listing) behind(at value.Record) query.Expr {
	var any []query.Expr
	for i := range l.sort {
		var all []query.Expr
		for j := range i {
			all = append(all, query.Same{L: field(l.coll, l.sort[j].slot), R: l.param(j)})
		}
		later := l.later(i, at.Slots[i].IsNull(), false)
		if later == nil {
			continue
		}
		any = append(any, query.And{Of: append(all, later)})
	}
	or := query.Expr(query.Or{Of: any})
	if first := l.later(0, at.Slots[0].IsNull(), true); first != nil && len(l.sort) > 1 {
		or = query.And{Of: []query.Expr{first, or}}
	}
	return or
}

func (l *listing) param(i int) query.Expr {
	return query.Param{Index: l.size + i, Type: l.coll.Shape.Fields()[l.sort[i].slot].Type}
}

// later is the condition that the i-th key comes after that of the cursor, or is the
// same where orSame says so; nil if nothing is known (orSame) or nothing can be. Nulls
// come first, and last when descending.
func (l *listing) later(i int, null, orSame bool) query.Expr {
	k := l.sort[i]
	f := field(l.coll, k.slot)
	optional := l.coll.Shape.Fields()[k.slot].Type.Optional
	switch {
	case null && k.desc:
		if orSame {
			return query.IsNull{Of: f}
		}
		return nil
	case null:
		if orSame {
			return nil
		}
		return query.Not{Of: query.IsNull{Of: f}}
	}
	op := map[[2]bool]string{{false, false}: ">", {false, true}: ">=",
		{true, false}: "<", {true, true}: "<="}[[2]bool{k.desc, orSame}]
	cmp := query.Expr(query.Compare{Op: op, L: f, R: l.param(i)})
	if k.desc && optional {
		return query.Or{Of: []query.Expr{cmp, query.IsNull{Of: f}}}
	}
	return cmp
}
