package sqlstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// The store's own tables. held is 1 as long as the entry holds its key.
const (
	tableJournal = reservedPrefix + "journal"
	tableSchemas = reservedPrefix + "schemas"

	entryColumns = "seq, at, call, subject, operation, key, fingerprint, door, spec, " +
		"secret, changes, intents, reply, refusal"
)

// The columns of an entry in the order of entryColumns.
const (
	colSeq = iota
	colAt
	colCall
	colSubject
	colOperation
	colKey
	colFingerprint
	colDoor
	colSpec
	colSecret
	colChanges
	colIntents
	colReply
	colRefusal
	entryColumnCount
)

func (s *Store) ownTables() error {
	d := s.dialect
	number, text := d.Column(&value.Type{Kind: value.TypeInt}),
		d.Column(&value.Type{Kind: value.TypeText})
	for _, sql := range []string{
		"CREATE TABLE IF NOT EXISTS " + d.Quote(tableJournal) + " (" +
			"seq " + number + " PRIMARY KEY, at " + number + " NOT NULL, " +
			"call " + text + " NOT NULL, subject " + text + " NOT NULL, " +
			"operation " + text + " NOT NULL, key " + text + ", " +
			"held " + number + " NOT NULL, fingerprint " + text + ", " +
			"door " + text + " NOT NULL, spec " + text + " NOT NULL, " +
			"secret " + number + " NOT NULL, changes " + text + ", " +
			"intents " + text + ", reply " + text + ", refusal " + text + ")",
		"CREATE UNIQUE INDEX IF NOT EXISTS " + d.Quote(tableJournal+".key") + " ON " +
			d.Quote(tableJournal) + " (subject, operation, key) WHERE held = 1",
		"CREATE INDEX IF NOT EXISTS " + d.Quote(tableJournal+".call") + " ON " +
			d.Quote(tableJournal) + " (call)",
		"CREATE TABLE IF NOT EXISTS " + d.Quote(tableSchemas) + " (" +
			"hash " + text + " PRIMARY KEY, schema " + text + " NOT NULL)",
	} {
		if err := s.writer.Exec(sql, nil); err != nil {
			return err
		}
	}
	return nil
}

// lastEntry returns the head of the journal and the schema named there.
func (s *Store) lastEntry(ctx context.Context) (head uint64, hash string, err error) {
	err = s.writer.Query(ctx, "SELECT seq, spec FROM "+s.dialect.Quote(tableJournal)+
		" ORDER BY seq DESC LIMIT 1", nil, func(r Row) error {
		head, hash = uint64(r.Int(0)), string(r.Text(1))
		return nil
	})
	return head, hash, err
}

func (s *Store) sqlFree() string {
	return "UPDATE " + s.dialect.Quote(tableJournal) + " SET held = 0 WHERE seq = " +
		s.dialect.Placeholder(1)
}

// textKept is the greatest buffer that is kept for the text of another entry, in bytes.
const textKept = 64 << 10

// insertEntry writes the entry's row. It returns the entry as it reads back.
func (s *Store) insertEntry(e *journal.Entry) (*journal.Entry, error) {
	args := make([]value.Value, entryColumnCount+1)
	o := &e.Origin
	args[colSeq] = value.OfInt(int64(e.Seq.Lo))
	args[colAt] = ofTime(e.At)
	args[colCall] = value.OfText(string(o.Call))
	args[colSubject] = value.OfText(o.Subject.String())
	args[colOperation] = value.OfText(o.Operation)
	args[colDoor] = value.OfText(o.Door)
	args[colSpec] = value.OfText(e.Spec)
	args[colSecret] = value.OfBool(o.Secret)
	args[entryColumnCount] = value.OfBool(o.Key != "")
	kept := *e
	kept.Reply = value.Value{}
	buf := s.text
	defer func() {
		if cap(buf) <= textKept {
			s.text = buf
		}
	}()
	if o.Key != "" {
		args[colKey] = value.OfText(o.Key)
		args[colFingerprint] = value.OfText(hex.EncodeToString(o.Fingerprint[:]))
		if !o.Secret && e.Reply.Kind() != value.Absent {
			buf = value.AppendJSON(buf[:0], e.Reply)
			args[colReply] = value.OfText(string(buf))
			kept.Reply = value.OfJSON(args[colReply].Text())
		}
	}
	if len(e.Changes) > 0 {
		buf = appendChanges(buf[:0], e.Changes)
		args[colChanges] = value.OfText(string(buf))
	}
	if len(e.Intents) > 0 {
		kept.Intents = slices.Clone(e.Intents)
		for i := range kept.Intents {
			n := &kept.Intents[i]
			if n.Payload.Kind() != value.Absent {
				n.Payload = value.OfJSON(string(value.AppendJSON(buf[:0], n.Payload)))
			}
		}
		buf = appendIntents(buf[:0], kept.Intents)
		args[colIntents] = value.OfText(string(buf))
	}
	if e.Refusal != nil {
		text, err := json.Marshal(refusalOf(e.Refusal))
		if err != nil {
			return nil, fmt.Errorf("write the refusal: %w", err)
		}
		args[colRefusal] = value.OfText(string(text))
	}
	// Nothing stands against it: the place is the line's, and the key was looked at.
	return &kept, s.writer.Queue(s.sqlInsertEntry(), args)
}

func (s *Store) sqlInsertEntry() string {
	s.old.once.Do(func() {
		sql := "INSERT INTO " + s.dialect.Quote(tableJournal) + " (" + entryColumns +
			", held) VALUES ("
		for n := range entryColumnCount + 1 {
			if n > 0 {
				sql += ", "
			}
			sql += s.dialect.Placeholder(n + 1)
		}
		s.old.insert = sql + ")"
	})
	return s.old.insert
}

func appendChanges(b []byte, changes []journal.Change) []byte {
	b = append(b, '[')
	for i := range changes {
		c := &changes[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"collection":`...)
		b = value.AppendQuoted(b, c.Collection)
		b = append(b, `,"id":`...)
		b = value.AppendQuoted(b, string(c.ID))
		b = append(b, `,"before":`...)
		b = appendDiffering(b, c.Before, c.After)
		b = append(b, `,"after":`...)
		b = value.AppendRecord(b, c.After)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendDiffering appends a record before a change, without what is the same after it: the
// journal is the greater part of what is written.
func appendDiffering(b []byte, before, after value.Record) []byte {
	if before.Zero() || after.Zero() || before.Shape != after.Shape {
		return value.AppendRecord(b, before)
	}
	return value.AppendDiffering(b, before, after)
}

func appendIntents(b []byte, intents []journal.Intent) []byte {
	b = append(b, '[')
	for i := range intents {
		n := &intents[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"kind":`...)
		b = value.AppendQuoted(b, n.Kind)
		b = append(b, `,"name":`...)
		b = value.AppendQuoted(b, n.Name)
		if !n.NotBefore.IsZero() {
			b = append(b, `,"not_before":"`...)
			b = append(value.AppendTime(b, n.NotBefore), '"')
		}
		if n.Payload.Kind() != value.Absent {
			b = append(b, `,"payload":`...)
			b = value.AppendJSON(b, n.Payload)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// storedChange, storedIntent and storedFault are what the journal's JSON holds.
type storedChange struct {
	Collection string          `json:"collection"`
	ID         ident.Record    `json:"id"`
	Before     json.RawMessage `json:"before"`
	After      json.RawMessage `json:"after"`
}

type storedIntent struct {
	Kind      string          `json:"kind"`
	Name      string          `json:"name"`
	NotBefore time.Time       `json:"not_before"`
	Payload   json.RawMessage `json:"payload"`
}

type storedFault struct {
	Kind    string        `json:"kind"`
	Code    string        `json:"code,omitempty"`
	Message string        `json:"message,omitempty"`
	Items   []fault.Item  `json:"items,omitempty"`
	Data    []storedParam `json:"data,omitempty"`
	At      fault.Place   `json:"at"`
	Rule    string        `json:"rule,omitempty"`
}

// storedParam keeps a figure with its Go type, because JSON has numbers of one kind.
type storedParam struct {
	Name  string  `json:"name"`
	Text  *string `json:"text,omitempty"`
	Int   *int64  `json:"int,omitempty"`
	Float float64 `json:"float,omitempty"`
	Bool  *bool   `json:"bool,omitempty"`
}

func refusalOf(f *fault.Fault) storedFault {
	out := storedFault{Kind: f.Kind.String(), Code: f.Code, Message: f.Message, At: f.At,
		Rule: f.Rule, Items: f.Items}
	for _, p := range f.Data {
		s := storedParam{Name: p.Name}
		switch v := p.Value.(type) {
		case string:
			s.Text = &v
		case int64:
			s.Int = &v
		case bool:
			s.Bool = &v
		case float64:
			s.Float = v
		default:
			text := fmt.Sprint(v)
			s.Text = &text
		}
		out.Data = append(out.Data, s)
	}
	return out
}

func (s storedFault) fault() *fault.Fault {
	kind, _ := fault.ParseKind(s.Kind)
	f := &fault.Fault{Kind: kind, Code: s.Code, Message: s.Message, At: s.At, Rule: s.Rule,
		Items: s.Items}
	for _, p := range s.Data {
		switch {
		case p.Text != nil:
			f.Data = append(f.Data, fault.Param{Name: p.Name, Value: *p.Text})
		case p.Int != nil:
			f.Data = append(f.Data, fault.Param{Name: p.Name, Value: *p.Int})
		case p.Bool != nil:
			f.Data = append(f.Data, fault.Param{Name: p.Name, Value: *p.Bool})
		default:
			f.Data = append(f.Data, fault.Param{Name: p.Name, Value: p.Float})
		}
	}
	return f
}

// oldSchemas keeps the schemas that entries name.
type oldSchemas struct {
	mu     sync.Mutex
	shapes map[string]map[string]*value.Shape
	once   sync.Once
	insert string
}

// schemaOf reads the schema of a hash.
func (s *Store) schemaOf(ctx context.Context, c Conn, hash string) (*spec.Schema, error) {
	if hash == "" {
		return nil, nil
	}
	var schema *spec.Schema
	err := c.Query(ctx, "SELECT schema FROM "+s.dialect.Quote(tableSchemas)+
		" WHERE hash = "+s.dialect.Placeholder(1), []value.Value{value.OfText(hash)},
		func(r Row) error {
			schema = &spec.Schema{}
			return json.Unmarshal(r.Text(0), schema)
		})
	if err == nil && schema == nil {
		err = errors.New("it is not there")
	}
	if err != nil {
		return nil, fmt.Errorf("read the schema %s: %w", hash, err)
	}
	return schema, nil
}

// shapesOf returns the shapes of the collections of a schema by its hash.
func (s *Store) shapesOf(
	ctx context.Context, c Conn, hash string,
) (map[string]*value.Shape, error) {
	s.old.mu.Lock()
	shapes := s.old.shapes[hash]
	s.old.mu.Unlock()
	if shapes != nil {
		return shapes, nil
	}
	schema, err := s.schemaOf(ctx, c, hash)
	if err != nil {
		return nil, err
	}
	shapes = map[string]*value.Shape{}
	if schema != nil {
		for _, t := range schema.Collections {
			shapes[t.Name] = t.Shape
		}
	}
	s.old.mu.Lock()
	defer s.old.mu.Unlock()
	if s.old.shapes == nil || len(s.old.shapes) > 64 {
		s.old.shapes = map[string]map[string]*value.Shape{}
	}
	s.old.shapes[hash] = shapes
	return shapes, nil
}

// raw is an entry's row before its JSON is read.
type raw struct {
	entry                     journal.Entry
	changes, intents, refusal []byte
}

func readRaw(r Row) raw {
	var w raw
	e := &w.entry
	e.Seq = seqOf(uint64(r.Int(colSeq)))
	e.At = time.UnixMilli(r.Int(colAt)).UTC()
	e.Spec = string(r.Text(colSpec))
	e.Origin = journal.Origin{
		Call:      ident.Call(r.Text(colCall)),
		Subject:   ident.ParseSubject(string(r.Text(colSubject))),
		Operation: string(r.Text(colOperation)),
		Key:       string(r.Text(colKey)),
		Door:      string(r.Text(colDoor)),
		Now:       e.At,
		Secret:    r.Int(colSecret) != 0,
	}
	// A fingerprint that is no hex leaves zeros, which match no call.
	_, _ = hex.Decode(e.Origin.Fingerprint[:], r.Text(colFingerprint))
	if text := r.Text(colReply); text != nil {
		e.Reply = value.OfJSON(string(text))
	}
	w.changes = bytes.Clone(r.Text(colChanges))
	w.intents = bytes.Clone(r.Text(colIntents))
	w.refusal = bytes.Clone(r.Text(colRefusal))
	return w
}

// decode reads the JSON of an entry by the shapes of its time.
func (s *Store) decode(ctx context.Context, c Conn, w *raw) error {
	e := &w.entry
	if len(w.changes) > 0 {
		shapes, err := s.shapesOf(ctx, c, e.Spec)
		if err != nil {
			return err
		}
		if e.Changes, err = decodeChanges(shapes, w.changes); err != nil {
			return fmt.Errorf("read the changes of entry %v: %w", e.Seq, err)
		}
	}
	if len(w.intents) > 0 {
		var stored []storedIntent
		if err := json.Unmarshal(w.intents, &stored); err != nil {
			return fmt.Errorf("read the intents of entry %v: %w", e.Seq, err)
		}
		for _, n := range stored {
			i := journal.Intent{Kind: n.Kind, Name: n.Name, NotBefore: n.NotBefore}
			if n.Payload != nil {
				i.Payload = value.OfJSON(string(n.Payload))
			}
			e.Intents = append(e.Intents, i)
		}
	}
	if len(w.refusal) > 0 {
		var stored storedFault
		if err := json.Unmarshal(w.refusal, &stored); err != nil {
			return fmt.Errorf("read the refusal of entry %v: %w", e.Seq, err)
		}
		e.Refusal = stored.fault()
	}
	return nil
}

func decodeChanges(shapes map[string]*value.Shape, text []byte) ([]journal.Change, error) {
	var out []journal.Change
	d := jsontext.NewDecoder(bytes.NewReader(text))
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	for d.PeekKind() == '{' {
		one, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		var stored storedChange
		if err := json.Unmarshal(one, &stored); err != nil {
			return nil, err
		}
		shape := shapes[stored.Collection]
		if shape == nil {
			return nil, fmt.Errorf("no collection %q in its schema", stored.Collection)
		}
		c := journal.Change{Collection: stored.Collection, ID: stored.ID}
		if c.Before, err = decodeRecord(shape, stored.Before); err != nil {
			return nil, err
		}
		if c.After, err = decodeRecord(shape, stored.After); err != nil {
			return nil, err
		}
		if !c.Before.Zero() && !c.After.Zero() {
			for i := range c.Before.Slots { // what is left out was the same
				if c.Before.Slots[i].Kind() == value.Absent {
					c.Before.Slots[i] = c.After.Slots[i]
				}
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func decodeRecord(shape *value.Shape, text []byte) (value.Record, error) {
	if len(text) == 0 || string(text) == "null" {
		return value.Record{}, nil
	}
	return value.DecodeStored(shape, text)
}
