// Package app is a spec compiled: each collection with its rules, checks and the
// shapes of what clients may send, each action with its rule and the language that
// implements it. It promises that what compiled without an error can be run, and
// that it never changes afterwards. Running it is left to the engine.
package app

import (
	"fmt"
	"strings"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// App is a compiled spec. It is immutable and safe for concurrent use.
type App struct {
	Spec   *spec.Spec
	Schema *spec.Schema
	World  *rule.World
	// Outside is the world of callers' filters, in which hidden fields do not
	// exist, so that nothing that is said about a filter can tell of them.
	Outside *rule.World

	collections []*Collection
	byName      map[string]*Collection
	actions     []*Action
	actionNames map[string]*Action
	functions   map[string]*Function
	routes      []*Route
	views       []*View
	triggered   bool
	proxies     []*Proxy
	jobs        []*Job
	emails      []*Email
	channels    []*Channel
	refusals    map[string]spec.Refusal
	places      map[*rule.Rule]string
}

// Code is the loaded program of one language.
type Code struct {
	// Language is the name by which the engine knows the runner: "ts", "go".
	Language string
	Program  action.Program
}

// Collection is a compiled collection. A nil rule is closed.
type Collection struct {
	Name  string
	Spec  *spec.Collection
	Shape *value.Shape
	Quiet bool

	Read   *rule.Rule
	Create *rule.Rule
	Update *rule.Rule
	Delete *rule.Rule
	// CreateInput is what a client may send to create a record: an id of his own
	// in the first slot, then the fields of the grant; UpdateInput is what he may
	// send to change one. Slots that were left out stay Absent.
	CreateInput *value.Shape
	UpdateInput *value.Shape
	// CreateSlots and UpdateSlots hold, for each slot of the inputs, the slot of
	// the record that it fills.
	CreateSlots []int
	UpdateSlots []int
	// AdminCreate, AdminUpdate and their slots are the same for those whom no
	// grant binds.
	AdminCreate      *value.Shape
	AdminUpdate      *value.Shape
	AdminCreateSlots []int
	AdminUpdateSlots []int
	// Known is the shape of what a client may know to exist: without what nobody
	// may read. Usable is what he may filter, sort and group by: without what
	// depends on the record, too.
	Known  *value.Shape
	Usable *value.Shape
	// Fields has a field for each slot of Shape.
	Fields []Field
	// Plain reports that everybody who sees a record sees all of its fields.
	Plain  bool
	Checks []*Check
	// Falls reports that deleting a record may run a hook: its own, or that of a record
	// that goes or changes with it.
	Falls bool
	hooks map[string]bool
	place int
	// triggers are what changes of its records start, by their event.
	triggers map[string][]*Trigger
}

// Hooked reports whether code runs in the transaction after the event: created, updated
// or deleted.
func (c *Collection) Hooked(event string) bool { return c.hooks[event] }

// Open reports whether a rule opens anything of the collection.
func (c *Collection) Open() bool {
	return !c.Quiet && (c.Read != nil || c.Create != nil || c.Update != nil || c.Delete != nil)
}

// Field is a compiled field of a record.
type Field struct {
	Spec *spec.Field
	// Hidden reports that nobody may read the field.
	Hidden bool
	// Read is the rule of who sees it in a record; nil means everybody who sees
	// the record. Apart is the same rule where it does not need the record, so
	// that it can be asked before records are read; nil where it does.
	Read  *rule.Rule
	Apart *rule.Rule
	// Set yields what the field is at creation; nil leaves it to who creates.
	Set *rule.Rule
}

// Check is a compiled invariant.
type Check struct {
	Name string
	Rule *rule.Rule
	// Own reports that it needs nothing but the record, so that it can be asked at
	// each write.
	Own bool
	// Place is where it is written, as file:line.
	Place string
}

// Action is a compiled action.
type Action struct {
	Name string
	Spec *spec.Action
	// Allow is nil for an action that only code and admins may call.
	Allow *rule.Rule
}

// Function is a function of the app's code, with who holds it.
type Function struct {
	action.Function
	// Program is nil if no code was given to Compile.
	Language string
	Program  action.Program
}

// Collections returns the collections in the order of the app file, after those of
// the house.
func (a *App) Collections() []*Collection { return a.collections }

// Place returns where the named collection stands among all of them.
func (a *App) Place(collection string) int {
	if c := a.byName[collection]; c != nil {
		return c.place
	}
	return -1
}

// Collection returns the named collection, or nil.
func (a *App) Collection(name string) *Collection { return a.byName[name] }

// Actions returns the actions in the order of the app file.
func (a *App) Actions() []*Action { return a.actions }

// Action returns the named action, or nil.
func (a *App) Action(name string) *Action { return a.actionNames[name] }

// Function returns the named function, such as actions/checkout, or nil.
func (a *App) Function(name string) *Function { return a.functions[name] }

// Refusal returns what the app says of one of its own codes: those of its errors
// and those of its checks.
func (a *App) Refusal(code string) (spec.Refusal, bool) {
	r, ok := a.refusals[code]
	return r, ok
}

// Refuse returns the fault with which the app's code or a check refuses. Codes of
// the house have the house's kind; a code that nobody declared is not known.
func (a *App) Refuse(code string) (*fault.Fault, bool) {
	kind, house := houseKind(code)
	r, own := a.refusals[code]
	switch {
	case house:
		f := fault.New(kind, "%s", r.Say)
		f.Code = code
		return f, true
	case own:
		return fault.WithCode(fault.Refused, code, "%s", r.Say), true
	default:
		return nil, false
	}
}

// houseKind returns the kind of one of our own codes.
func houseKind(code string) (fault.Kind, bool) {
	switch code {
	case "already_exists":
		return fault.Exists, true
	case "in_use", "refused":
		return fault.Refused, true
	case "internal":
		return 0, false // no refusal: an app that means it throws an error
	}
	for k := fault.Malformed; k <= fault.Unknown; k++ {
		if k.Code() == code {
			return k, true
		}
	}
	return 0, false
}

// PlaceOf returns where a rule of the app is written, as file:line.
func (a *App) PlaceOf(r *rule.Rule) string { return a.places[r] }

// Place writes a place as file:line.
func Place(p spec.Pos) string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Who says in a few words for whom a rule is.
func Who(r *rule.Rule) string {
	if r == nil {
		return "nobody"
	}
	text := strings.Join(strings.Fields(r.Text().Source), " ")
	if text == "true" {
		return everybody
	}
	return text
}
