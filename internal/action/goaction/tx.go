package goaction

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Context ends when the time of the call is over.
func (c *Call) Context() context.Context { return c.ctx }

// Now is the instant of the call, the same however long it runs.
func (c *Call) Now() (now time.Time) {
	c.must(func(h action.Host) error { now = h.Now(); return nil })
	return now
}

// Random is the chance of the call, the same if it is run again.
func (c *Call) Random() (r *rand.Rand) {
	c.must(func(h action.Host) error { r = h.Random(); return nil })
	return r
}

// Log writes a line for the developer.
func (c *Call) Log(message string, pairs ...any) {
	c.must(func(h action.Host) error {
		h.Log().Log(c.ctx, slog.LevelInfo, message, pairs...)
		return nil
	})
}

// SignedIn reports whether a user calls.
func (c *Call) SignedIn() (yes bool) {
	c.must(func(h action.Host) error { yes = h.Subject().Who == ident.User; return nil })
	return yes
}

// must runs a step that returns no error to the function: one that fails ends it.
func (c *Call) must(do func(action.Host) error) {
	if err := c.step(do); err != nil {
		panic(stop{err})
	}
}

// Me fills to, a pointer to a struct, from the caller's record, and leaves it alone
// if no user calls.
func (c *Call) Me(to any) {
	c.must(func(h action.Host) error {
		r, err := h.Me(c.ctx)
		if err != nil || r.Zero() {
			return err
		}
		return c.fill(to, r)
	})
}

func (c *Call) fill(to any, r value.Record) error {
	v := reflect.ValueOf(to).Elem()
	codec, err := c.program.codec(v.Type(), r.Shape)
	if err != nil {
		return err
	}
	codec.load(v, r)
	return nil
}

// Get fills to from the record, or returns the refusal not_found.
func (c *Call) Get(collection, id string, to any) error {
	return c.step(func(h action.Host) error {
		r, err := h.Get(c.ctx, collection, ident.Record(id))
		if err != nil {
			return err
		}
		return c.fill(to, r)
	})
}

// shape returns the shape of a collection's records.
func shape(h action.Host, collection string) (*value.Shape, error) {
	s := h.Shape(collection)
	if s == nil {
		return nil, fmt.Errorf("the app has no collection %s", collection)
	}
	return s, nil
}

// record reads a struct as a record of a collection.
func (c *Call) record(h action.Host, collection string, from any) (value.Record, *codec, error) {
	s, err := shape(h, collection)
	if err != nil {
		return value.Record{}, nil, err
	}
	v := reflect.ValueOf(from).Elem()
	codec, err := c.program.codec(v.Type(), s)
	if err != nil {
		return value.Record{}, nil, err
	}
	r, err := codec.save(v)
	if err != nil {
		return value.Record{}, nil, internal("%s.%w", collection, err)
	}
	return r, codec, nil
}

// Insert writes the struct that to points to as a new record and fills it with what
// was stored. A field that is zero and has a default gets the default.
func (c *Call) Insert(collection string, to any) error {
	return c.step(func(h action.Host) error {
		r, codec, err := c.record(h, collection, to)
		if err != nil {
			return err
		}
		v := reflect.ValueOf(to).Elem()
		for _, f := range codec.fields {
			if f.slot >= spec.SlotFirst && (f.fresh || r.Slots[f.slot].Kind() == value.Null) &&
				v.Field(f.index).IsZero() {
				r.Slots[f.slot] = value.Value{}
			}
		}
		id := r.Slots[spec.SlotID]
		if id.Text() == "" {
			id = value.OfText(string(h.NewID()))
		}
		r.Slots[spec.SlotID], r.Slots[spec.SlotCreated] = id, value.Value{}
		r.Slots[spec.SlotUpdated], r.Slots[spec.SlotVersion] = value.Value{}, value.Value{}
		return c.put(h, collection, r, to)
	})
}

// Update writes the struct that to points to, which must be a record that was read,
// over the version it was read in, and fills it with what was stored.
func (c *Call) Update(collection string, to any) error {
	return c.step(func(h action.Host) error {
		r, _, err := c.record(h, collection, to)
		if err != nil {
			return err
		}
		if r.Slots[spec.SlotVersion].Int() == 0 {
			return internal("update %s: the record was not read; read it first, or write Patch", collection)
		}
		r.Slots[spec.SlotCreated], r.Slots[spec.SlotUpdated] = value.Value{}, value.Value{}
		return c.put(h, collection, r, to)
	})
}

func (c *Call) put(h action.Host, collection string, r value.Record, to any) error {
	stored, err := h.Put(c.ctx, collection, r)
	if err != nil {
		return err
	}
	reflect.ValueOf(to).Elem().SetZero()
	return c.fill(to, stored)
}

// Operator is a change of one field that the database applies.
type Operator struct {
	Op      value.Op
	Operand any
}

// Patch changes some fields of a record, whatever its version, and fills to with what
// was stored.
func (c *Call) Patch(collection, id string, fields map[string]any, to any) error {
	return c.step(func(h action.Host) error {
		s, err := shape(h, collection)
		if err != nil {
			return err
		}
		r := value.NewRecord(s)
		for name, x := range fields {
			i, ok := s.Index(name)
			if !ok || i < spec.SlotFirst {
				return internal("patch %s: it has no field %s to write", collection, name)
			}
			t := s.Fields()[i].Type
			op, isOp := x.(Operator)
			if isOp {
				x = op.Operand
				if t.Kind == value.TypeList {
					t = *t.Elem
				}
				t.Optional = false
			}
			v, err := plain(x, &t)
			if err != nil {
				return internal("patch %s.%s: %w", collection, name, err)
			}
			if isOp {
				v = value.OfOp(op.Op, v)
			}
			r.Slots[i] = v
		}
		r.Slots[spec.SlotID], r.Slots[spec.SlotVersion] = value.OfText(id), value.OfNull()
		return c.put(h, collection, r, to)
	})
}

// plain reads a Go value as one of a declared type.
func plain(x any, t *value.Type) (value.Value, error) {
	if x == nil {
		return value.OfNull(), nil
	}
	v := reflect.ValueOf(x)
	bare := *t
	if v.Kind() != reflect.Pointer {
		bare.Optional = false
	}
	_, save, bad := accessor(v.Type(), &bare, "it")
	if len(bad) > 0 {
		return value.Value{}, fmt.Errorf("%s", bad[0])
	}
	return save(addressable(v))
}

// addressable copies a value to where it has an address: a codec reads nothing else.
func addressable(v reflect.Value) reflect.Value {
	to := reflect.New(v.Type()).Elem()
	to.Set(v)
	return to
}

// Delete removes a record, or returns the refusal not_found.
func (c *Call) Delete(collection, id string) error {
	return c.step(func(h action.Host) error { return h.Delete(c.ctx, collection, ident.Record(id)) })
}

// Start leaves the intent of a job with an input, a struct or nil, and returns its id.
func (c *Call) Start(job string, input any) (id string, err error) {
	err = c.step(func(h action.Host) error {
		in := value.Record{}
		if s := h.Shape(action.Jobs + "/" + job); s != nil {
			v := reflect.ValueOf(input)
			if !v.IsValid() {
				return internal("the job %s takes an input", job)
			}
			codec, err := c.program.codec(v.Type(), s)
			if err != nil {
				return err
			}
			if in, err = codec.save(addressable(v)); err != nil {
				return internal("%s.%w", job, err)
			}
		}
		got, err := action.Start(c.ctx, h, job, in)
		id = string(got)
		return err
	})
	return id, err
}

// Write leaves the intent of a mail.
func (c *Call) Write(email string, to []string, record, data any) error {
	return c.step(func(h action.Host) error {
		l := action.Letter{To: to}
		for _, part := range []struct {
			from any
			to   *value.Value
		}{{record, &l.Record}, {data, &l.Data}} {
			if part.from == nil {
				continue
			}
			text, err := json.Marshal(part.from)
			if err != nil {
				return internal("email %s: %w", email, err)
			}
			*part.to = value.OfJSON(string(text))
		}
		return action.Write(c.ctx, h, email, l)
	})
}

// Publish leaves the intent of a message in a channel.
func (c *Call) Publish(channel string, message any) error {
	return c.step(func(h action.Host) error {
		text, err := json.Marshal(message)
		if err != nil {
			return internal("publish in %s: %w", channel, err)
		}
		return action.Publish(c.ctx, h, channel, value.OfJSON(string(text)))
	})
}

// Count returns the number of records that fulfil the condition.
func (c *Call) Count(collection string, where Where) (n int64, err error) {
	err = c.step(func(h action.Host) error {
		q, err := c.query(h, collection, where, readCount, "", 0)
		if err != nil {
			return err
		}
		rows, err := h.Find(c.ctx, q)
		if err == nil && len(rows) > 0 {
			n = rows[0].Slots[0].Int()
		}
		return err
	})
	return n, err
}

// Find calls each with every record that fulfils the condition; each returns a
// pointer to a struct to fill. A limit of 0 asks for all, of which there must not be
// more than action.RowsMax.
func (c *Call) Find(collection string, where Where, sort string, limit int, each func() any) error {
	return c.step(func(h action.Host) error {
		if limit < 0 || limit > action.RowsMax {
			return internal("list %s: the limit must be from 0 to %d", collection, action.RowsMax)
		}
		most := limit
		if most == 0 {
			most = action.RowsMax + 1
		}
		q, err := c.query(h, collection, where, readRows, sort, most)
		if err != nil {
			return err
		}
		rows, err := h.Find(c.ctx, q)
		if err != nil {
			return err
		}
		if len(rows) > action.RowsMax {
			return internal("list %s: there are more than %d records; give a limit or ask for fewer",
				collection, action.RowsMax)
		}
		for _, r := range rows {
			if err := c.fill(each(), r); err != nil {
				return err
			}
		}
		return nil
	})
}

// Where is a condition of a read: equalities, or CEL with bound values, not both. The
// zero Where is fulfilled by every record.
type Where struct {
	Equal map[string]any
	CEL   string
	// Bound holds names and values in turn.
	Bound []any
}

// query makes the query of a read.
func (c *Call) query(h action.Host, collection string, w Where, kind readKind, sort string, limit int) (
	query.Query, error) {
	s, err := shape(h, collection)
	if err != nil {
		return query.Query{}, err
	}
	r := read{collection: collection, shape: s, sort: sort, limit: limit, kind: kind}
	if w.CEL != "" {
		args, err := bind(w.Bound)
		if err != nil {
			return query.Query{}, internal("%s: %w", w.CEL, err)
		}
		r.tree, r.args, err = h.Filter(collection, w.CEL, args)
		if err != nil {
			return query.Query{}, internal("%s: %s: %w", collection, w.CEL, err)
		}
		r.where = celKey(w.CEL, args, len(r.args))
	} else if err := r.equal(w.Equal); err != nil {
		return query.Query{}, err
	}
	plan, err := c.program.plans.get(r)
	return query.Query{Plan: plan, Args: r.args}, err
}

// Param returns a figure of a refusal's data as one that faults carry: a text, a
// number, or true or false; everything else as text.
func Param(x any) any {
	v := reflect.ValueOf(x)
	switch {
	case !v.IsValid():
		return ""
	case v.Kind() == reflect.String:
		return v.String()
	case v.Kind() == reflect.Bool:
		return v.Bool()
	case v.CanInt():
		return v.Int()
	case v.CanFloat():
		return v.Float()
	}
	return fmt.Sprint(x)
}
