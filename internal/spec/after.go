package spec

import (
	"time"

	"github.com/galleybackend/galley/internal/value"
)

// Trigger is the change of a record that starts work: `on: orders.created`.
type Trigger struct {
	Collection string
	// Event is created, updated or deleted.
	Event string
	Pos   Pos
}

// The values of Trigger.Event, and of Collection.Hooks as create, update, delete.
const (
	Created = "created"
	Updated = "updated"
	Deleted = "deleted"
)

// Cron is a schedule of five fields, in the app's time zone.
type Cron struct {
	Text     string
	Pos      Pos
	Schedule *Schedule
}

// Job is durable work outside the transaction.
type Job struct {
	Name string
	Doc  string
	Pos  Pos
	// Input is nil where there is none. A job with On has the record as its input.
	Input *value.Shape
	Docs  map[string]string
	On    *Trigger
	// If narrows On: CEL over the record, and the record before.
	If   Text
	Cron *Cron
	// Retry is how often a failed attempt is made again before the job is parked.
	Retry int
	// Timeout bounds one attempt of one step; 0 means the house's.
	Timeout time.Duration
	// AtOnce is how many of this job run together, 0 as many as there are workers.
	AtOnce int
	// OncePer is CEL over the input: while a job with the same value waits or runs,
	// another is not begun.
	OncePer Text
}

// Email is a kind of mail: when, to whom, how often.
type Email struct {
	Name string
	Doc  string
	Pos  Pos
	On   *Trigger
	If   Text
	Cron *Cron
	// To is CEL: a user, an address, or a set of users.
	To Text
	// Every is the least time between two mails to one person; 0 means none.
	Every time.Duration
	// UntilClick ends the mails to a person once he clicked a link in one.
	UntilClick bool
	// HTML is emails/NAME.html, whose first line is the subject; Plain is
	// emails/NAME.txt, zero where the text part is made of the HTML.
	HTML  Template
	Plain Template
}

// Template is a file in which an email is written.
type Template struct {
	File   string
	Source string
}

// Marketing reports whether people can unsubscribe: mail that nobody asked for by
// what he did.
func (e *Email) Marketing() bool { return e.Every > 0 || e.Cron != nil }

// Webhook is a verified call from outside.
type Webhook struct {
	Name string
	Doc  string
	Pos  Pos
	// Verify is stripe, github, standard or hmac-sha256; Header is where the last one
	// finds the signature.
	Verify string
	Header string
	Secret Name
	// ID is the path of what makes the call one: body.id, or header.NAME.
	ID Text
}

// Delivery is a signed call to somebody else's hook, after the commit.
type Delivery struct {
	Name   string
	Doc    string
	Pos    Pos
	On     *Trigger
	If     Text
	To     string
	Secret Name
	Retry  int
}

// Proxy is what callers may ask of another server, through ours.
type Proxy struct {
	Name   string
	Doc    string
	Pos    Pos
	URL    string
	Routes []ProxyRoute
	// Headers are added by us; ${NAME} in them is a secret.
	Headers []Header
	Allow   Text
	Cache   time.Duration
	Rate    Rate
	Timeout time.Duration
}

// ProxyRoute is a method and a path, in which {name} stands for one segment.
type ProxyRoute struct {
	Method string
	Path   string
	Pos    Pos
}

// Header is a name and a value.
type Header struct {
	Name  string
	Value string
	Pos   Pos
}

// Route is one function for some of the app's own URLs, or, without any, a function that
// other routes name: as that which tells who asks, or which shapes problems.
type Route struct {
	Name string
	Doc  string
	Pos  Pos
	// Paths are the methods and paths, in which {name} stands for one segment.
	Paths []ProxyRoute
	Allow Text
	// User names the route whose function tells which user asks; "" knows callers by the
	// house's sessions.
	User Name
	// Problem names the route whose function shapes problems; "" leaves them as they are.
	Problem Name
	// Input is the typed input, nil where the code takes the request as it is.
	Input *value.Shape
	Docs  map[string]string
	Rate  Rate
	// Timeout is the route's own bound; 0 means the engine's.
	Timeout time.Duration
	// ReadOnly is `read_only: true`, Writes `read_only: false`. Else GET only reads.
	ReadOnly bool
	Writes   bool
}

// Reads reports whether the method only reads.
func (r *Route) Reads(method string) bool {
	return r.ReadOnly || !r.Writes && method == "GET"
}

// Helps reports whether other routes name it; it has no paths then.
func (s *Spec) Helps(route string) (user, problem bool) {
	for _, r := range s.Routes {
		user = user || r.User.Name == route
		problem = problem || r.Problem.Name == route
	}
	return user, problem
}

// Route returns the named route, or nil.
func (s *Spec) Route(name string) *Route {
	for _, r := range s.Routes {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// View is a computed list that can only be read.
type View struct {
	Name   string
	Doc    string
	Pos    Pos
	From   string
	Where  Text
	Group  []Name
	Fields []ViewField
	Sort   string
	Limit  int
	Cache  time.Duration
	Allow  Text
}

// ViewField is a computed field of a view.
type ViewField struct {
	Name string
	Rule Text
	Pos  Pos
}

// View returns the named view, or nil.
func (s *Spec) View(name string) *View {
	for _, v := range s.Views {
		if v.Name == name {
			return v
		}
	}
	return nil
}
