// Package spec is what an app file says, as plain structs: nothing in it knows YAML,
// CEL or SQL. It also says how two schemas differ, as the steps from one to the
// other. Whether rules compile is asked in rule; how text is read, in appfile.
package spec

import (
	"time"

	"github.com/galleybackend/galley/internal/value"
)

// Pos is a place in a file, counted from 1, columns in characters. The zero Pos is
// no place.
type Pos struct {
	File   string
	Line   int
	Column int
}

// Text is a piece of CEL with its place. Pos is where its first character stands.
type Text struct {
	Source string
	Pos    Pos
	// Lines maps each line of Source to its place, for texts folded over several
	// lines; empty for a text on one line.
	Lines []Pos
	// Places maps each character of Source to its place, where it is quoted with
	// escapes or over several lines; empty otherwise. At asks the right one.
	Places []Pos
}

// Empty reports whether nothing was written.
func (t Text) Empty() bool { return t.Source == "" }

// Spec is a whole app file with what it includes.
type Spec struct {
	App         string
	Currency    string
	Timezone    string
	Secrets     []Name
	Auth        *Auth
	Define      []*Define
	Collections []*Collection
	Actions     []*Action
	Views       []*View
	Jobs        []*Job
	Emails      []*Email
	Webhooks    []*Webhook
	Deliveries  []*Delivery
	Proxies     []*Proxy
	Routes      []*Route
	Channels    []*Channel
	Errors      []*Refusal
	// Site is the folder of static files; "" means none.
	Site string
	// Files holds the text of each file read, for excerpts.
	Files map[string][]byte
	// Dir is the folder of the app file.
	Dir string
	// Unread says what of a file with errors could not be read.
	Unread Unread
}

// Unread is what of an app file could not be read, because it is written wrongly. What
// speaks of it cannot be judged until it is mended.
type Unread struct {
	// All says that it is not known what is missing.
	All bool
	// Names are the collections, fields and named rules that are not in the spec.
	Names map[string]bool
}

// Collection returns the named collection, or nil.
func (s *Spec) Collection(name string) *Collection {
	for _, c := range s.Collections {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Action returns the named action, or nil.
func (s *Spec) Action(name string) *Action {
	for _, a := range s.Actions {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// Job returns the named job, or nil.
func (s *Spec) Job(name string) *Job {
	for _, j := range s.Jobs {
		if j.Name == name {
			return j
		}
	}
	return nil
}

// Email returns the named email, or nil.
func (s *Spec) Email(name string) *Email {
	for _, e := range s.Emails {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// Name is a name with its place.
type Name struct {
	Name string
	Pos  Pos
}

// Auth turns sign-in on.
type Auth struct {
	// SignIn lists the methods; only password is supported yet.
	SignIn []Name
	// SignUp lists the fields of users that a new user may send; nil means that
	// people cannot sign themselves up.
	SignUp *SignUp
	Pos    Pos
}

// SignUp is how people make their own account.
type SignUp struct {
	Fields []Name
	Pos    Pos
}

// Define is a named rule: a macro with parameters.
type Define struct {
	Name   string
	Params []Name
	Body   Text
	Pos    Pos
}

// Collection is a kind of record.
type Collection struct {
	Name   string
	Doc    string
	Pos    Pos
	Was    string
	Fields []*Field
	Checks []*Check
	// Unique lists the sets of fields whose values may occur once.
	Unique []Unique
	Index  []Index
	Allow  Allow
	// Hooks are the events on which the app's code runs inside the transaction:
	// create, update, delete.
	Hooks []Name
	// Keep is the age at which records are deleted; 0 means never.
	Keep time.Duration
	// Quiet marks a collection of the house whose writes leave no change in the
	// journal and which no rule can open.
	Quiet bool
}

// Field returns the named declared field, or nil.
func (c *Collection) Field(name string) *Field {
	for _, f := range c.Fields {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Field is one part of a record.
type Field struct {
	Name string
	Doc  string
	Pos  Pos
	Type value.Type
	// TypePos is where the type is written.
	TypePos Pos
	// Default is what fills the field if it was left out; Absent means none.
	Default value.Value
	// Set is CEL that replaces what the client says, once, at creation.
	Set    Text
	Unique bool
	// OnDelete says what becomes of this record when the one it points to is
	// deleted: in_use (refuse, the default), cascade, or clear (optional only).
	OnDelete string
	// Read is the rule of who sees the field; empty means everybody who sees the
	// record. Hidden means nobody: `read: false`.
	Read   Text
	Hidden bool
	Was    string
	// System marks the fields that every record has, and those of users that the
	// house writes.
	System bool
}

// The values of Field.OnDelete.
const (
	OnDeleteInUse   = "in_use"
	OnDeleteCascade = "cascade"
	OnDeleteClear   = "clear"
)

// Check is an invariant. Its name is the code of the refusal.
type Check struct {
	Name string
	Doc  string
	Rule Text
	Pos  Pos
}

// Unique is a set of fields whose values together may occur once; a record with a
// null among them is not bound.
type Unique struct {
	Fields []Name
	Pos    Pos
}

// Index is an ordered set of fields to look up by.
type Index struct {
	Fields []IndexField
	Pos    Pos
}

// IndexField is one field of an Index.
type IndexField struct {
	Name string
	Desc bool
	Pos  Pos
}

// Allow says who may ask for what. A nil grant is closed.
type Allow struct {
	Read   *Grant
	Create *Grant
	Update *Grant
	Delete *Grant
	Pos    Pos
}

// Grant opens one operation.
type Grant struct {
	Rule Text
	// Fields are those that a client may send, for create and update.
	Fields []Name
	Pos    Pos
}

// Action is a business operation.
type Action struct {
	Name string
	Doc  string
	Pos  Pos
	// Allow is the rule; empty means that only code and admins may call it.
	Allow Text
	// Input and Output are nil where there is none.
	Input  *value.Shape
	Output *value.Shape
	// Docs holds the comments and places of input and output fields, by a path
	// such as input.items.quantity.
	Docs map[string]string
	Rate Rate
	// Timeout is the action's own bound; 0 means the engine's.
	Timeout time.Duration
	// KeyOptional is `idempotency: optional`.
	KeyOptional bool
	ReadOnly    bool
}

// Rate is a number of calls in a span, for each caller. The zero Rate is none.
type Rate struct {
	Count int
	Per   time.Duration
}

// Refusal is a code with its sentence.
type Refusal struct {
	Code   string
	Say    string
	Status int
	Doc    string
	Pos    Pos
}

// The fields that every record has, in the first slots of its shape.
const (
	FieldID      = "id"
	FieldCreated = "created"
	FieldUpdated = "updated"
	FieldVersion = "version"
)

// The slots of those fields, the same in every shape of a collection.
const (
	SlotID = iota
	SlotCreated
	SlotUpdated
	SlotVersion
	SlotFirst
)

// Users is the collection of people. It has two more fields of the house: email,
// unique and readable by that user only, and verified.
const (
	Users         = "users"
	FieldEmail    = "email"
	FieldVerified = "verified"
)
