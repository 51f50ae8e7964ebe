// Package engine decides calls. A Call comes from any door and goes through one
// line: authenticate, resolve, admit, then inside one transaction authorize,
// perform, check and commit. Query reads and Execute writes; nothing else is
// offered, and no door has another way to the store.
package engine

import (
	"net/http"
	"net/url"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/value"
)

// Verb is what a call asks for.
type Verb uint8

// The verbs. Get, List, Aggregate and Action marked read_only are for Query, the
// others for Execute.
const (
	Get Verb = iota + 1
	List
	Aggregate
	Create
	Update
	Delete
	Action
	Batch
)

// Route is the verb of a call of one of the app's own URLs, which either Query or Execute
// takes, as the app file says; Problem that of one which only Query takes, of the house
// itself, and which shapes a problem for the Target's callers.
const (
	Route Verb = iota + 1<<5
	Problem
)

// Call is what the engine makes of a request, whatever the wire.
type Call struct {
	ID   ident.Call
	Verb Verb
	// Target is a collection's name, or an action's.
	Target string
	// Record is the id in the path, as it came.
	Record string
	// Body is the input as JSON text: the fields of a create, a merge patch, an
	// action's input. Nil means that there was none.
	Body []byte
	// Params are the parameters of a list, a get, an aggregate or a read_only
	// action; a door that has other forms writes them as these.
	Params url.Values
	// Batch holds the operations of a batch.
	Batch []Call
	// Credential is a session token, "" for a caller who is not signed in.
	Credential string
	// Subject, where Trusted is set, replaces the credential: the command line and
	// the house itself call so. No wire can set it.
	Subject ident.Subject
	Trusted bool
	// Again reports that the house asks anew what the caller was admitted to before, so
	// that it is not counted. No wire can set it.
	Again bool
	// Key is the idempotency key, without the quotes of the draft's form.
	Key string
	// IfMatch is the version that an update or delete asks for; 0 means any.
	IfMatch int64
	// Request is what rules may see of the request.
	Request Request
	// Door is the wire and connection, for the journal.
	Door   string
	DryRun bool
	// Web is the request of a Route, nil for others.
	Web *Web
	// Seen takes what is observed of this call; nil observes nothing.
	Seen *observe.Call
	// Known returns the rows of another watch of the same key, for a Watch in a state whose
	// last entry is at the place, if they are as good as an answer in that state; nil
	// knows none.
	Known func(key string, at journal.Seq) (Rows, bool)
}

// Request is the variable `request` of rules.
type Request struct {
	IP        string
	Country   string
	Method    string
	Origin    string
	UserAgent string
}

// Web is a request as the code of a route sees it.
type Web struct {
	// Pattern is the method and path of the app file that it took, Path the path that was
	// asked for, Params what stood there for each {name}.
	Pattern string
	Path    string
	Params  map[string]string
	Query   url.Values
	Header  http.Header
}

// Item is a record as its caller may see it: slots that he may not see, or did not
// ask for, are Absent.
type Item struct {
	Record value.Record
	// Version is the record's version in the answer to a Get, whatever fields were
	// asked for.
	Version int64
	// Expand holds what was expanded, in the order asked for.
	Expand []Expansion
}

// Expansion is one expanded relation: one record, or several of a list of
// relations, or none where the caller may not see it. Of a list of objects it has an
// item without a record for each object, with what was expanded in that object.
type Expansion struct {
	Name  string
	Many  bool
	Items []Item
}

// Answer is what a Query found.
type Answer struct {
	// Items has one item for Get.
	Items []Item
	// Next is the cursor of the next page, "" on the last.
	Next  string
	Total int64
	// HasTotal reports that Total was asked for.
	HasTotal bool
	// Output is what a read_only action or route returned; its kind is Absent otherwise.
	Output value.Value
	// Kept says for how long the answer of a view is good.
	Kept Kept

	// at is the place of the state in which a view that is kept was computed.
	at journal.Seq
}

// Reply is what an Execute did.
type Reply struct {
	// Item is the record that was created or updated.
	Item Item
	// Output is an action's output; Absent where it has none.
	Output value.Value
	// Batch holds a reply for each operation of a batch.
	Batch []Reply
	// Verb is the operation's, for the status: a create is 201, a delete 204.
	Verb Verb
	// Body is the reply as JSON text, where it was written as such already: for a
	// replay, of which Version and Record then say what Item would, and for what is
	// kept to be replayed. "" and "null" have no body.
	Body     string
	Record   ident.Record
	Version  int64
	Replayed bool
	Seq      journal.Seq
}

// Clock tells the app's own time. It is the only source of it.
type Clock func() time.Time

// faultAt marks a fault with the number of the batch operation that ended in it.
func faultAt(err error, n int) error {
	f := *fault.From(err)
	f.At.Request = n + 1
	return &f
}
