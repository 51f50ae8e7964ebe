package action

import (
	"strings"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// The folders of an app's code, by which its functions are named.
const (
	Actions  = "actions"
	Jobs     = "jobs"
	Hooks    = "hooks"
	Webhooks = "webhooks"
	Routes   = "routes"
)

// Folders returns them in the order in which they are told of.
func Folders() []string { return []string{Actions, Hooks, Jobs, Webhooks, Routes} }

// Title names a function by its kind and name: action checkout, hook likes.create.
func Title(name string) string {
	folder, rest, found := strings.Cut(name, "/")
	if !found {
		return name
	}
	return strings.TrimSuffix(folder, "s") + " " + rest
}

// Function is what an app file declares and code must do.
type Function struct {
	// Name is that of Program.Names.
	Name string
	// Pos is where it is declared.
	Pos spec.Pos
	// Input is nil where there is none; that of a hook, and of a job that a change
	// starts, is the record.
	Input *value.Shape
	// Output is nil where none is declared.
	Output *value.Shape
	// Of is the collection whose record Input is, where it is one.
	Of string
}

// Functions returns all functions that an app file declares, in its order.
func Functions(s *spec.Spec) []Function {
	var all []Function
	shapes := map[string]*value.Shape{}
	if len(s.Jobs) > 0 || hooked(s) {
		for _, t := range s.Schema().Collections {
			shapes[t.Name] = t.Shape
		}
	}
	for _, a := range s.Actions {
		all = append(all, Function{Name: Actions + "/" + a.Name, Pos: a.Pos,
			Input: a.Input, Output: a.Output})
	}
	for _, c := range s.Collections {
		for _, h := range c.Hooks {
			all = append(all, Function{Name: Hooks + "/" + c.Name + "." + h.Name, Pos: h.Pos,
				Input: shapes[c.Name], Of: c.Name})
		}
	}
	for _, j := range s.Jobs {
		f := Function{Name: Jobs + "/" + j.Name, Pos: j.Pos, Input: j.Input}
		if j.On != nil {
			f.Input, f.Of = shapes[j.On.Collection], j.On.Collection
		}
		all = append(all, f)
	}
	for _, w := range s.Webhooks {
		all = append(all, Function{Name: Webhooks + "/" + w.Name, Pos: w.Pos, Input: EventShape()})
	}
	for _, r := range s.Routes {
		f := Function{Name: Routes + "/" + r.Name, Pos: r.Pos, Input: RequestShape(r.Input),
			Output: ResponseShape()}
		switch user, problem := s.Helps(r.Name); {
		case user:
			f.Output = WhoShape()
		case problem:
			f.Input = ProblemShape()
		}
		all = append(all, f)
	}
	return all
}

func hooked(s *spec.Spec) bool {
	for _, c := range s.Collections {
		if len(c.Hooks) > 0 {
			return true
		}
	}
	return false
}

// EventShape is the input of a webhook's function: the verified call. Body is null
// where the call held no JSON; raw is its body as it came.
func EventShape() *value.Shape {
	return value.NewShape("event", []value.Field{
		{Name: "id", Type: value.Type{Kind: value.TypeText}},
		{Name: "body", Type: value.Type{Kind: value.TypeJSON, Optional: true}},
		{Name: "headers", Type: value.Type{Kind: value.TypeJSON}},
		{Name: "raw", Type: value.Type{Kind: value.TypeText}},
	})
}

// The names of shapes by which runners know in which form code gives and takes them.
const (
	ShapeRequest  = "request"
	ShapeResponse = "response"
	ShapeWho      = "who"
	ShapeProblem  = "problem"
)

// WhoShape is the output of a function that tells which user asks: his id, or null.
func WhoShape() *value.Shape {
	return value.NewShape(ShapeWho, []value.Field{
		{Name: "user", Type: value.Type{Kind: value.TypeText, Optional: true}}})
}

// ProblemShape is the input of a function that shapes problems: what would be answered.
func ProblemShape() *value.Shape {
	return value.NewShape(ShapeProblem, []value.Field{
		{Name: "problem", Type: value.Type{Kind: value.TypeJSON}}})
}

// RequestShape is the input of a route's function. Route is the method and path of the
// app file that the request took. Names of headers are in small letters; json is null
// where the body holds none, text where it is no text; input is there where the route
// declares one.
func RequestShape(input *value.Shape) *value.Shape {
	text := value.Type{Kind: value.TypeText}
	json := value.Type{Kind: value.TypeJSON}
	fields := []value.Field{
		{Name: "route", Type: text}, {Name: "method", Type: text}, {Name: "path", Type: text},
		{Name: "ip", Type: text}, {Name: "params", Type: json}, {Name: "query", Type: json},
		{Name: "headers", Type: json}, {Name: "text", Type: text}, {Name: "base64", Type: text},
		{Name: "json", Type: value.Type{Kind: value.TypeJSON, Optional: true}},
	}
	if input != nil {
		fields = append(fields, value.Field{Name: "input",
			Type: value.Type{Kind: value.TypeObject, Fields: input}})
	}
	return value.NewShape(ShapeRequest, fields)
}

// ResponseShape is the output of a route's function. The values of headers are texts, or
// lists of them. The body is what is sent, in base64 where binary says so.
func ResponseShape() *value.Shape {
	return value.NewShape(ShapeResponse, []value.Field{
		{Name: "status", Type: value.Type{Kind: value.TypeInt}, Default: value.OfInt(200)},
		{Name: "headers", Type: value.Type{Kind: value.TypeJSON}, Default: value.OfJSON("{}")},
		{Name: "body", Type: value.Type{Kind: value.TypeText}, Default: value.OfText("")},
		{Name: "binary", Type: value.Type{Kind: value.TypeBool}, Default: value.OfBool(false)},
	})
}
