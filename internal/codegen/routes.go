package codegen

import (
	"fmt"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// route is one of the app's own URLs.
func (e *editor) route() object {
	path := object{"type": "string", "pattern": "^(GET|POST|PUT|PATCH|DELETE) /"}
	helpers := []string{}
	for _, r := range e.spec.Routes {
		if len(r.Paths) == 0 {
			helpers = append(helpers, r.Name)
		}
	}
	named := func(about string) object {
		return object{"description": about, "anyOf": []object{{"enum": helpers}, {"type": "string"}}}
	}
	return e.closed(object{
		"path": object{"description": "A method and a path, such as GET /p/{slug}, or a list of them.",
			"anyOf": []object{path, {"type": "array", "items": path, "minItems": 1}}},
		"allow":     e.rule("Who may ask."),
		"user":      named("The route without a path whose function tells which user asks."),
		"problem":   named("The route without a path whose function shapes problems."),
		"input":     e.open(defined("input"), "Names and their types, of a JSON body or of a query."),
		"rate":      e.text("How often each caller may ask, such as 30/min."),
		"timeout":   e.text("How long it may take, such as 2s."),
		"read_only": object{"type": "boolean", "description": "It writes nothing; GET does not, unless false."},
	})
}

// job is work after the commit.
func (e *editor) job() object {
	count := []string{"integer", "string"}
	return e.closed(object{
		"input":    e.open(defined("input"), "Names and their types."),
		"on":       e.trigger(),
		"if":       e.rule("Narrows on: CEL over record and before."),
		"cron":     e.text("When it begins, such as 0 9 * * MON."),
		"retry":    object{"type": count, "description": "How often a failed attempt is made again."},
		"timeout":  e.text("How long one attempt of a step may take, such as 30s."),
		"at_once":  object{"type": count, "description": "How many run together."},
		"once_per": e.rule("While a job with the same value waits or runs, another is not begun."),
	})
}

// view is a computed list.
func (e *editor) view() object {
	collections := []string{}
	for _, c := range e.spec.Collections {
		collections = append(collections, c.Name)
	}
	return e.closed(object{
		"from":  object{"enum": collections, "description": "The collection that it is of."},
		"where": e.rule("Which records count."),
		"group": object{"description": "The fields by which records are grouped.",
			"type": []string{"string", "array"}, "items": object{"type": "string"}},
		"fields": e.open(e.rule("count(), or sum, avg, min or max of record.FIELD."), "What is computed."),
		"sort":   e.text("By what it is sorted, such as -sold."),
		"limit":  object{"type": "integer", "minimum": 1, "maximum": 1000, "description": "How many groups at most."},
		"cache":  e.text("How long it is kept for all who ask, such as 5m."),
		"allow":  e.rule("Who may ask; without it only code and admins."),
	})
}

// views adds the computed lists.
func (d *openAPI) views() {
	tagged := false
	for _, v := range d.spec.Views {
		c := d.spec.Collection(v.From)
		if v.Allow.Empty() || c == nil {
			continue
		}
		if !tagged {
			d.tag("views", "Lists that are computed.")
			tagged = true
		}
		d.schemas[v.Name] = viewSchema(v, c)
		o := operation{id: "list_" + v.Name, tag: "views", summary: title(v.Doc, v.Name), description: v.Doc,
			problems: []string{"400", "401", "403"}}
		o.answers = object{"200": answer("The groups, in their order.", object{"type": "object",
			"required":   []any{"items"},
			"properties": object{"items": object{"type": "array", "items": ref("schemas", v.Name)}}})}
		if v.Cache > 0 {
			o.answers["304"] = object{"description": "What the caller has is still right."}
		}
		d.add("get", "/api/"+v.Name, o)
	}
}

// viewSchema describes a row of a view.
func viewSchema(v *spec.View, c *spec.Collection) object {
	props, required := object{}, []any{}
	for _, g := range v.Group {
		for _, f := range c.All() {
			if f.Name == g.Name {
				props[f.Name] = fieldSchema(f)
			}
		}
		required = append(required, g.Name)
	}
	for _, f := range v.Fields {
		props[f.Name] = object{"description": strings.TrimSpace(f.Rule.Source)}
		required = append(required, f.Name)
	}
	return object{"type": "object", "properties": props, "required": required,
		"description": sentence(v.Doc, "A row of "+v.Name+".")}
}

// routes adds the app's own URLs. What they answer is theirs to say.
func (d *openAPI) routes() {
	tagged := false
	for _, r := range d.spec.Routes {
		for n, p := range r.Paths {
			if !tagged {
				d.tag("routes", "The app's own URLs.")
				tagged = true
			}
			d.routed(r, p, n)
		}
	}
}

func (d *openAPI) routed(r *spec.Route, p spec.ProxyRoute, n int) {
	o := operation{id: fmt.Sprintf("route_%s_%d", r.Name, n+1), tag: "routes",
		summary: title(r.Doc, r.Name+": "+p.Method+" "+p.Path), description: r.Doc,
		problems: []string{"400", "401", "403", "404", "413"}}
	o.answers = object{"2XX": object{"description": "What the app's code answers.",
		"headers": object{"Request-Id": ref("headers", "Request-Id")},
		"content": object{"*/*": object{"schema": object{}}}}}
	for s := range strings.SplitSeq(strings.TrimPrefix(p.Path, "/"), "/") {
		if name, found := strings.CutPrefix(s, "{"); found {
			o.parameters = append(o.parameters, object{"name": strings.TrimSuffix(name, "}"), "in": "path",
				"required": true, "description": "A part of the address.", "schema": object{"type": "string"}})
		}
	}
	switch {
	case r.Input != nil && p.Method == "GET":
		o.problems = append(o.problems, "422")
		o.parameters = append(o.parameters, queryOf(&spec.Action{Input: r.Input, Docs: r.Docs})...)
	case r.Input != nil:
		o.problems = append(o.problems, "422")
		d.schemas["route_"+r.Name+"_input"] = shapeSchema(r.Input, docsOf(&spec.Action{Docs: r.Docs}, "input"))
		o.body = body("route_" + r.Name + "_input")
	case p.Method != "GET" && p.Method != "DELETE":
		o.body = object{"required": false, "content": object{"*/*": object{"schema": object{}}}}
	}
	d.add(strings.ToLower(p.Method), p.Path, o)
}

// jobs adds what callers may know of the jobs that they started.
func (d *openAPI) jobs() {
	if len(d.spec.Jobs) == 0 {
		return
	}
	d.tag("jobs", "Work that goes on after the answer.")
	text := object{"type": "string"}
	number := object{"type": "integer"}
	d.schemas["job"] = object{"type": "object", "description": "A job that the caller started.",
		"required": []any{"id", "name", "state"}, "properties": object{
			"id": ref("schemas", "id"), "name": text,
			"state":    object{"enum": []string{"waiting", "running", "done", "failed"}},
			"progress": object{"type": "object", "properties": object{"done": number, "total": number}},
			"result":   object{"description": "What it returned."},
			"problem":  object{"type": "object", "description": "Why it failed.", "additionalProperties": true}}}
	id := object{"name": "id", "in": "path", "required": true, "description": "The job's id.",
		"schema": typeSchema(&value.Type{Kind: value.TypeID})}
	d.add("get", "/api/jobs/{id}", operation{id: "get_job", tag: "jobs", summary: "Show a job",
		parameters: []any{id}, problems: []string{"401", "404"},
		answers: object{"200": answer("The job.", ref("schemas", "job"))}})
	d.add("delete", "/api/jobs/{id}", operation{id: "cancel_job", tag: "jobs",
		summary:    "Cancel a job between two of its steps",
		parameters: []any{id}, problems: []string{"401", "404", "409"},
		answers: object{"202": answer("It will end.", nil)}})
}
