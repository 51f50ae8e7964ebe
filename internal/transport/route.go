package transport

import (
	"strings"

	"github.com/galleybackend/galley/internal/engine"
)

// Form is the form of a path: which methods it takes follows from it alone, and not
// from what exists, so that a refused method tells nothing.
type Form uint8

// The forms of paths below /api.
const (
	// FormNone is a path that nothing can ever be at.
	FormNone Form = iota
	// FormList is /{collection}.
	FormList
	// FormRecord is /{collection}/{id}.
	FormRecord
	// FormAggregate is /{collection}/aggregate.
	FormAggregate
	// FormAction is /actions/{name}.
	FormAction
	// FormBatch is /batch.
	FormBatch
	// FormAuth is /auth/…, which one table of sign-in explains.
	FormAuth
	// FormJob is /jobs/{id}.
	FormJob
	// FormHealth is /health.
	FormHealth
	// FormOpenAPI is /openapi.json.
	FormOpenAPI
	// FormAsyncAPI is /asyncapi.json.
	FormAsyncAPI
	// FormSocket is /ws.
	FormSocket
	// FormEvents is /events.
	FormEvents
)

// Route is what a path names.
type Route struct {
	Form Form
	// Target is the collection, the action, what follows /auth/, or the id of a job.
	Target string
	Record string
}

// The words below /api that cannot name a collection. Most of them wait for their
// machinery.
var reserved = map[string]bool{
	"actions": true, "auth": true, "batch": true, "channels": true, "events": true,
	"files": true, "health": true, "hooks": true, "jobs": true, "openapi": true,
	"proxy": true, "ws": true,
}

// pathMax bounds a path below /api, in bytes.
const pathMax = 256

// ParseRoute reads what follows /api/ in a path. There is one spelling of each
// address: nothing is unescaped, cleaned, folded or cut off, and what is spelled in
// another way is FormNone.
func ParseRoute(path string) Route {
	if len(path) > pathMax || !plainPath(path) {
		return Route{}
	}
	first, rest, more := strings.Cut(path, "/")
	switch {
	case first == "":
		return Route{}
	case reserved[first] || strings.IndexByte(first, '.') >= 0:
		return reservedRoute(first, rest, more)
	case !more:
		return Route{Form: FormList, Target: first}
	case rest == "aggregate":
		return Route{Form: FormAggregate, Target: first}
	case rest == "" || strings.IndexByte(rest, '/') >= 0:
		return Route{}
	default:
		return Route{Form: FormRecord, Target: first, Record: rest}
	}
}

func reservedRoute(first, rest string, more bool) Route {
	switch {
	case first == "actions" && rest != "" && strings.IndexByte(rest, '/') < 0:
		return Route{Form: FormAction, Target: rest}
	case first == "auth" && rest != "":
		return Route{Form: FormAuth, Target: rest}
	case first == "jobs" && rest != "" && strings.IndexByte(rest, '/') < 0:
		return Route{Form: FormJob, Target: rest}
	case more:
		return Route{}
	case first == "batch":
		return Route{Form: FormBatch}
	case first == "health":
		return Route{Form: FormHealth}
	case first == "openapi.json":
		return Route{Form: FormOpenAPI}
	case first == "asyncapi.json":
		return Route{Form: FormAsyncAPI}
	case first == "ws":
		return Route{Form: FormSocket}
	case first == "events":
		return Route{Form: FormEvents}
	default:
		return Route{}
	}
}

// plainPath reports whether the path has only characters that names and ids have.
func plainPath(path string) bool {
	for i := range len(path) {
		c := path[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' ||
			c == '/' || c == '_' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

// The methods, as bits of a Methods.
const (
	MethodGet Methods = 1 << iota
	MethodPost
	MethodPatch
	MethodPut
	MethodDelete
)

// Methods is a set of methods. GET brings HEAD, and every set has OPTIONS.
type Methods uint8

// Methods returns the methods that a form takes; those of FormAuth are its table's.
func (f Form) Methods() Methods {
	switch f {
	case FormList:
		return MethodGet | MethodPost
	case FormRecord:
		return MethodGet | MethodPatch | MethodDelete
	case FormAggregate, FormHealth, FormOpenAPI, FormAsyncAPI, FormSocket, FormEvents:
		return MethodGet
	case FormAction:
		return MethodGet | MethodPost
	case FormJob:
		return MethodGet | MethodDelete
	case FormBatch:
		return MethodPost
	default:
		return 0
	}
}

// ParseMethod returns the named method, or 0 for one that no address takes. Methods
// are upper case.
func ParseMethod(name string) Methods {
	switch name {
	case "GET", "HEAD":
		return MethodGet
	case "POST":
		return MethodPost
	case "PATCH":
		return MethodPatch
	case "PUT":
		return MethodPut
	case "DELETE":
		return MethodDelete
	default:
		return 0
	}
}

// String lists the set as the header Allow does.
func (m Methods) String() string {
	var names []string
	for i, name := range [...]string{"GET, HEAD", "POST", "PATCH", "PUT", "DELETE"} {
		if m&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(append(names, "OPTIONS"), ", ")
}

// Verb returns what a method at a form asks the engine for, or 0.
func (f Form) Verb(m Methods) engine.Verb {
	switch {
	case f == FormList && m == MethodGet:
		return engine.List
	case f == FormList && m == MethodPost:
		return engine.Create
	case f == FormRecord && m == MethodGet:
		return engine.Get
	case f == FormRecord && m == MethodPatch:
		return engine.Update
	case f == FormRecord && m == MethodDelete:
		return engine.Delete
	case f == FormAggregate && m == MethodGet:
		return engine.Aggregate
	case f == FormAction && (m == MethodGet || m == MethodPost):
		return engine.Action
	case f == FormBatch && m == MethodPost:
		return engine.Batch
	default:
		return 0
	}
}
