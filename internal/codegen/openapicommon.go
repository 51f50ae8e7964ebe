package codegen

import (
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// parameters holds the parameters that several operations share.
var parameters = map[string]struct{ in, description string }{
	"id":     {"path", "The record's id."},
	"filter": {"query", "A condition in CEL over the fields, such as price <= 5000 && listed."},
	"sort":   {"query", "Fields to order by, a minus before those that descend."},
	"limit":  {"query", "How many at most; 50 if not said, 500 at most."},
	"cursor": {"query", "Where the page begins: next of the page before."},
	"fields": {"query", "The fields to return, by name."},
	"expand": {"query", "Relations whose records are put beside their ids."},
	"total":  {"query", "Whether to count all."},
	"select": {"query", "What to compute, such as sold:sum(quantity),n:count()."},
	"group":  {"query", "The fields to group by."},
	"Idempotency-Key": {"header", "A fresh key for each new request, the same for each retry. " +
		"Required where doing it twice would differ from doing it once."},
	"If-Match":      {"header", `The version that you have read, as in "7".`},
	"If-None-Match": {"header", `The version that you have, as in "7".`},
}

func (d *openAPI) parameters() object {
	used := map[string]bool{"Idempotency-Key": d.writes}
	for name := range parameters {
		used[name] = used[name] || usesParameter(d.paths, name)
	}
	out := object{}
	for name, p := range parameters {
		if !used[name] {
			continue
		}
		schema := object{"type": "string"}
		one := object{"name": name, "in": p.in, "description": p.description, "schema": schema}
		switch name {
		case "id":
			one["schema"], one["required"] = ref("schemas", "id"), true
		case "limit":
			one["schema"] = object{"type": "integer", "minimum": 1, "maximum": 500}
		case "total":
			one["schema"] = object{"type": "boolean"}
		case "select":
			one["required"] = true
		case "filter":
			schema["maxLength"] = 2048
		case "Idempotency-Key":
			schema["minLength"], schema["maxLength"] = 1, 255
		}
		out[name] = one
	}
	return out
}

// usesParameter reports whether an operation refers to the parameter.
func usesParameter(paths object, name string) bool {
	for _, at := range paths {
		for _, op := range at.(object) {
			list, _ := op.(object)["parameters"].([]any)
			for _, p := range list {
				if p.(object)["$ref"] == "#/components/parameters/"+name {
					return true
				}
			}
		}
	}
	return false
}

// docsOf returns the comments of the fields below a path such as input.
func docsOf(a *spec.Action, path string) map[string]string {
	out := map[string]string{}
	for at, doc := range a.Docs {
		if name, ok := strings.CutPrefix(at, path+"."); ok && !strings.Contains(name, ".") {
			out[name] = doc
		}
	}
	return out
}

func (d *openAPI) actions() {
	tagged := false
	for _, a := range d.spec.Actions {
		if a.Allow.Empty() {
			continue
		}
		if !tagged {
			d.tag("actions", "What the app does in one transaction.")
			tagged = true
		}
		d.action(a)
	}
}

func (d *openAPI) action(a *spec.Action) {
	o := operation{id: a.Name, tag: "actions", summary: title(a.Doc, a.Name), description: a.Doc,
		problems: []string{"400", "401", "403", "404", "409", "422"}}
	if a.Output != nil {
		d.schemas[a.Name+"_output"] = shapeSchema(a.Output, docsOf(a, "output"))
	}
	headers := []string{}
	if !a.ReadOnly {
		headers = append(headers, "Idempotent-Replayed", "Galley-At")
	}
	if a.Output != nil {
		o.answers = object{"200": answer("What it returned.", ref("schemas", a.Name+"_output"),
			headers...)}
	} else {
		o.answers = object{"204": answer("It is done.", nil, headers...)}
	}
	path := "/api/actions/" + a.Name
	if a.ReadOnly {
		o.parameters = queryOf(a)
		d.add("get", path, o)
		return
	}
	d.writes = true
	key := ref("parameters", "Idempotency-Key")
	if !a.KeyOptional {
		key = object{"name": "Idempotency-Key", "in": "header", "required": true,
			"description": "A fresh key for each new request, the same for each retry.",
			"schema":      object{"type": "string", "minLength": 1, "maxLength": 255}}
	}
	o.parameters = []any{key}
	o.problems = append(o.problems, "413", "415", "504")
	if a.Input != nil {
		d.schemas[a.Name+"_input"] = shapeSchema(a.Input, docsOf(a, "input"))
		o.body = body(a.Name + "_input")
	}
	d.add("post", path, o)
}

// queryOf describes the input of an action that only reads, as parameters.
func queryOf(a *spec.Action) []any {
	if a.Input == nil {
		return nil
	}
	var out []any
	docs := docsOf(a, "input")
	for i := range a.Input.Fields() {
		f := &a.Input.Fields()[i]
		t := f.Type
		t.Optional = false
		p := object{"name": f.Name, "in": "query", "required": !f.Type.Optional,
			"description": sentence(docs[f.Name], f.Name)}
		switch t.Kind {
		case value.TypeList, value.TypeObject, value.TypeJSON:
			p["content"] = object{"application/json": object{"schema": typeSchema(&t)}}
		default:
			p["schema"] = typeSchema(&t)
		}
		out = append(out, p)
	}
	return out
}

// title is the first sentence of a comment, without its full stop, or the name.
func title(doc, name string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(doc), ". ")
	first, _, _ = strings.Cut(first, "\n")
	first, _, _ = strings.Cut(first, ":")
	if first = strings.TrimSuffix(first, "."); first == "" || len(first) > 80 {
		return name
	}
	return first
}

func (d *openAPI) batch() {
	if !d.writes {
		return
	}
	d.tag("batch", "Several writes in one transaction.")
	d.schemas["batch_input"] = object{"type": "object", "required": []any{"requests"},
		"additionalProperties": false, "properties": object{"requests": object{
			"type": "array", "minItems": 1, "maxItems": 50, "items": object{"type": "object",
				"required": []any{"method", "path"}, "additionalProperties": false,
				"properties": object{
					"method": object{"type": "string", "enum": []any{"POST", "PATCH", "DELETE"}},
					"path":   object{"type": "string", "examples": []any{"/api/orders"}},
					"body":   object{"description": "The body of the request."},
					"if_match": object{"type": "integer",
						"description": "The version that you have read."},
				}}}}}
	d.schemas["batch_output"] = object{"type": "object", "required": []any{"responses"},
		"properties": object{"responses": object{"type": "array", "items": object{
			"type": "object", "required": []any{"status"}, "properties": object{
				"status": object{"type": "integer"},
				"body":   object{"description": "The body of the answer."}}}}}}
	d.add("post", "/api/batch", operation{id: "batch", tag: "batch",
		summary: "Do several writes, all or none",
		description: "The first that fails rolls all of them back; its problem says which it was " +
			"in at.request.",
		parameters: params("Idempotency-Key"), body: body("batch_input"),
		answers: object{"200": answer("An answer for each request.", ref("schemas", "batch_output"),
			"Idempotent-Replayed", "Galley-At")},
		problems: []string{"400", "401", "403", "404", "409", "412", "413", "415", "422"}})
}

func (d *openAPI) health() {
	d.tag("health", "Whether the service can be given.")
	status := func(word string) object {
		return object{"type": "object", "required": []any{"status"},
			"properties": object{"status": object{"const": word, "type": "string"}}}
	}
	d.paths["/api/health"] = object{"get": object{"operationId": "health", "tags": []any{"health"},
		"summary": "Ask whether the service can be given", "security": []any{object{}},
		"description": "Says that it can or that it cannot, and nothing else.",
		"responses": object{"200": answer("It can.", status("ok")),
			"503": answer("It cannot now.", status("unavailable")),
			"405": ref("responses", "problem")}}}
}

// common adds the schemas that every app has.
func (d *openAPI) common() {
	if d.reads || d.writes || d.spec.Auth != nil {
		d.schemas["id"] = idSchema()
	}
	text, whole := object{"type": "string"}, object{"type": "integer"}
	free := object{"type": "object", "additionalProperties": true}
	d.schemas["problem"] = object{"type": "object",
		"required": []any{"type", "title", "status", "code", "request"},
		"properties": object{
			"type": object{"type": "string", "format": "uri-reference"}, "title": text,
			"status": whole, "detail": text, "request": text, "data": free,
			"code": object{"type": "string", "enum": codesOf(d.spec)},
			"errors": object{"type": "array", "items": object{"type": "object",
				"required": []any{"pointer", "code", "detail"},
				"properties": object{"pointer": text, "code": text, "detail": text,
					"params": free}}},
			"at": object{"type": "object", "properties": object{"parameter": text,
				"column": whole, "request": whole}},
			"violated-policies": object{"type": "array", "items": text},
		}}
}

// codesOf lists every code that the app can answer with.
func codesOf(sp *spec.Spec) []any {
	codes := append(spec.Codes(), "method_not_allowed", "upgrade_required")
	for _, c := range sp.Collections {
		for _, check := range c.Checks {
			codes = append(codes, check.Name)
		}
	}
	for _, e := range sp.Errors {
		codes = append(codes, e.Code)
	}
	slices.Sort(codes)
	out := []any{}
	for _, c := range slices.Compact(codes) {
		out = append(out, c)
	}
	return out
}
