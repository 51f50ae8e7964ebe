package galley

import (
	"encoding/json"
	"time"

	"github.com/galleybackend/galley/internal/action/goaction"
)

// Event is a verified call from outside, for a webhook.
type Event struct {
	ID string
	// Body is JSON, null if the call held none; Raw is its body as it came.
	Body json.RawMessage
	Raw  string
	// Headers are the call's, by names in small letters.
	Headers map[string]string
}

// Webhook registers run as the code of the named webhook. It runs in one transaction,
// once for each id; an error undoes all it wrote, and the sender sends it again.
func Webhook(app *App, name string, run func(tx *Tx, event Event) error) {
	goaction.AddWebhook(app.program, name, run, func(c *goaction.Call, e goaction.Event) error {
		return run(&Tx{c}, Event(e))
	})
}

// Request is a request of one of the app's own URLs.
type Request struct {
	// Route is the method and path of the app file that it took.
	Route  string
	Method string
	Path   string
	IP     string
	// Params holds what stands for each {name} of the path.
	Params map[string]string
	Query  map[string]string
	// Headers are by names in small letters.
	Headers map[string]string
	Body    []byte
	// Input is the typed input as JSON, nil where the route declares none.
	Input json.RawMessage
}

// Response is the answer of a route.
type Response struct {
	// Status is 200 by default, or 204 without a Body.
	Status  int
	Headers map[string][]string
	// Body is what is sent. JSON makes one of a value.
	Body []byte
}

// JSON returns the answer whose body is a value as JSON.
func JSON(status int, v any) (Response, error) {
	text, err := json.Marshal(v)
	return Response{Status: status, Body: text,
		Headers: map[string][]string{"Content-Type": {"application/json"}}}, err
}

// Route registers run as the code of the named route, for all of its paths. It runs in
// one transaction, and may be run again if another call came between.
func Route(app *App, name string, run func(tx *Tx, r Request) (Response, error)) {
	goaction.AddRoute(app.program, name, run,
		func(c *goaction.Call, r goaction.Request) (goaction.Response, error) {
			out, err := run(&Tx{c}, Request(r))
			return goaction.Response(out), err
		})
}

// RouteUser registers run as the code of a route that others name as their user: it tells
// which user asks by his id, or "" for nobody.
func RouteUser(app *App, name string, run func(tx *Tx, r Request) (string, error)) {
	goaction.AddRouteUser(app.program, name, run,
		func(c *goaction.Call, r goaction.Request) (string, error) { return run(&Tx{c}, Request(r)) })
}

// Problem is what would be answered to a request that failed.
type Problem struct {
	Status int
	Code   string
	Title  string
	Detail string
	Data   map[string]any
	Errors []struct{ Pointer, Code, Detail string }
}

// RouteProblem registers run as the code of a route that others name as their problem: it
// gives problems another form.
func RouteProblem(app *App, name string, run func(tx *Tx, p Problem) (Response, error)) {
	goaction.AddRouteProblem(app.program, name, run,
		func(c *goaction.Call, text json.RawMessage) (goaction.Response, error) {
			var p Problem
			if err := json.Unmarshal(text, &p); err != nil {
				return goaction.Response{}, err
			}
			out, err := run(&Tx{c}, p)
			return goaction.Response(out), err
		})
}

// Sign returns a JSON Web Token of claims, a struct or a map, signed with a secret that the
// app file names. It lives for a time; 0 is for ever.
func (tx *Tx) Sign(secret string, claims any, live time.Duration) (string, error) {
	return tx.call.Sign(secret, claims, live)
}

// Verify fills claims from a token that Sign made and that has not run out, and reports
// whether it is one.
func (tx *Tx) Verify(secret, token string, claims any) (bool, error) {
	return tx.call.Verify(secret, token, claims)
}

// HashPassword returns what is kept of a password of the app's own accounts.
func (tx *Tx) HashPassword(password string) (string, error) { return tx.call.HashPassword(password) }

// CheckPassword reports whether a password has the hash. An empty hash, as of an account
// that is not there, takes as long and is never right.
func (tx *Tx) CheckPassword(hash, password string) (bool, error) {
	return tx.call.CheckPassword(hash, password)
}
