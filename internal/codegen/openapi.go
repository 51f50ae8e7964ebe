package codegen

import (
	"encoding/json"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// object is a JSON object of a document.
type object = map[string]any

// OpenAPI returns the OpenAPI 3.1 document of what the app file opens to the outside.
// What it does not open is not in it, nor are fields that nobody may read. The same
// spec gives the same bytes.
func OpenAPI(sp *spec.Spec) []byte {
	d := &openAPI{spec: sp, paths: object{}, schemas: object{}, tags: []any{}}
	for _, c := range sp.Collections {
		d.collection(c)
	}
	d.actions()
	d.batch()
	d.views()
	d.jobs()
	d.proxies()
	d.routes()
	d.signIn()
	d.health()
	d.common()
	text, err := json.MarshalIndent(d.document(), "", "  ")
	if err != nil {
		panic(err) // maps, slices, texts and numbers of our own making
	}
	return append(text, '\n')
}

// openAPI gathers the parts of a document.
type openAPI struct {
	spec    *spec.Spec
	paths   object
	schemas object
	tags    []any
	// writes reports that something can be written, so that there is a batch.
	writes bool
	// reads reports that some collection can be listed.
	reads bool
}

func (d *openAPI) document() object {
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": d.spec.App, "version": "1",
			"description": "What " + d.spec.App + " opens to its clients. Names are those of the " +
				"app file. Money is in whole minor units, times are RFC 3339 in UTC.",
			"contact": object{"name": "The developers of " + d.spec.App},
		},
		"servers": []any{object{"url": "/", "description": "The app itself."}},
		"tags":    d.tags,
		"paths":   d.paths,
		// A caller may sign in by cookie or token, or not at all: the rules decide.
		"security":   []any{object{}, object{"bearer": []any{}}, object{"session": []any{}}},
		"components": d.components(),
	}
}

func (d *openAPI) components() object {
	c := object{
		"schemas": d.schemas,
		"responses": object{"problem": object{
			"description": "A refusal, in the form of RFC 9457.",
			"headers":     object{"Request-Id": ref("headers", "Request-Id")},
			"content": object{"application/problem+json": object{"schema": ref("schemas",
				"problem")}},
		}},
		"headers": d.headers(),
		"securitySchemes": object{
			"bearer": object{"type": "http", "scheme": "bearer",
				"description": "The token that sign-in returns when it is asked for one."},
			"session": object{"type": "apiKey", "in": "cookie", "name": "__Host-galley",
				"description": "The cookie that sign-in sets. Writes with it must come from the " +
					"same origin."},
		},
	}
	if d.writes || d.reads {
		c["parameters"] = d.parameters()
	}
	return c
}

func (d *openAPI) headers() object {
	h := object{"Request-Id": header("The id by which the developer can find this request.")}
	if d.writes {
		h["Idempotent-Replayed"] = header("true where the answer is that of an earlier request " +
			"with the same key.")
		h["Galley-At"] = header("The place of the commit, as followers are told it.")
	}
	if d.writes || d.reads {
		h["ETag"] = header("The version of the record, in quotes.")
	}
	if d.reads {
		h["Link"] = header(`The next page, as <…>; rel="next". Absent on the last.`)
	}
	return h
}

func header(description string) object {
	return object{"description": description, "schema": object{"type": "string"}}
}

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

// tag declares a group of operations.
func (d *openAPI) tag(name, description string) {
	d.tags = append(d.tags, object{"name": name, "description": sentence(description, name)})
}

// sentence is the comment of the app file, or another text where there is none.
func sentence(doc, otherwise string) string {
	if doc = strings.TrimSpace(doc); doc != "" {
		return doc
	}
	return otherwise
}

// operation is one way to ask, with what all of them have.
type operation struct {
	id, summary, description, tag string
	parameters                    []any
	body                          object
	// answers holds the responses that are no problems, by status.
	answers object
	// problems are the statuses of the problems.
	problems []string
}

// add puts an operation at a method of a path.
func (d *openAPI) add(method, path string, o operation) {
	responses := object{}
	for status, a := range o.answers {
		responses[status] = a
	}
	for _, status := range append(o.problems, "429", "500", "503") {
		responses[status] = ref("responses", "problem")
	}
	op := object{"operationId": o.id, "summary": o.summary, "tags": []any{o.tag},
		"description": sentence(o.description, o.summary), "responses": responses}
	if len(o.parameters) > 0 {
		op["parameters"] = o.parameters
	}
	if o.body != nil {
		op["requestBody"] = o.body
	}
	at, ok := d.paths[path].(object)
	if !ok {
		at = object{}
		d.paths[path] = at
	}
	at[method] = op
}

// body is a request's body of the named schema.
func body(schema string, types ...string) object {
	content := object{}
	for _, t := range append(types, "application/json") {
		content[t] = object{"schema": ref("schemas", schema)}
	}
	return object{"required": true, "content": content}
}

// answer is a response with a body of the schema, none if it is nil.
func answer(description string, schema object, headers ...string) object {
	h := object{"Request-Id": ref("headers", "Request-Id")}
	for _, name := range headers {
		h[name] = ref("headers", name)
	}
	a := object{"description": description, "headers": h}
	if schema != nil {
		a["content"] = object{"application/json": object{"schema": schema}}
	}
	return a
}

func (d *openAPI) collection(c *spec.Collection) {
	a := c.Allow
	if c.Quiet || a.Read == nil && a.Create == nil && a.Update == nil && a.Delete == nil {
		return
	}
	d.tag(c.Name, sentence(c.Doc, "Records of "+c.Name+"."))
	d.schemas[c.Name] = recordSchema(c)
	if a.Read != nil {
		d.reading(c)
	}
	if a.Create != nil || a.Update != nil || a.Delete != nil {
		d.writing(c)
	}
}

// reading adds what a read rule opens.
func (d *openAPI) reading(c *spec.Collection) {
	d.reads = true
	path := "/api/" + c.Name
	page := c.Name + "_page"
	d.schemas[page] = object{"type": "object", "required": []any{"items"}, "properties": object{
		"items": object{"type": "array", "items": ref("schemas", c.Name)},
		"next":  object{"type": "string", "description": "The cursor of the next page."},
		"total": object{"type": "integer", "description": "How many there are, if asked for."},
	}}
	list := params("filter", "sort", "limit", "cursor", "fields", "expand", "total")
	d.add("get", path, operation{id: "list_" + c.Name, tag: c.Name,
		summary:    "List the " + c.Name + " that you may read",
		parameters: append(list, shorthands(c)...),
		answers:    object{"200": answer("A page of "+c.Name+".", ref("schemas", page), "Link")},
		problems:   []string{"400", "404"}})
	d.add("get", path+"/{id}", operation{id: "get_" + c.Name, tag: c.Name,
		summary:    "Get one of " + c.Name,
		parameters: params("id", "fields", "expand", "If-None-Match"),
		answers: object{"200": answer("The record.", ref("schemas", c.Name), "ETag"),
			"304": answer("It is still the version that you have.", nil, "ETag")},
		problems: []string{"400", "404"}})
	d.schemas["aggregate"] = object{"type": "object", "required": []any{"items"},
		"properties": object{"items": object{"type": "array",
			"items": object{"type": "object", "additionalProperties": true}}}}
	d.add("get", path+"/aggregate", operation{id: "aggregate_" + c.Name, tag: c.Name,
		summary:    "Compute over the " + c.Name + " that you may read",
		parameters: params("select", "group", "filter", "sort", "limit"),
		answers:    object{"200": answer("One item for each group.", ref("schemas", "aggregate"))},
		problems:   []string{"400", "404"}})
}

// writing adds what the other rules open.
func (d *openAPI) writing(c *spec.Collection) {
	d.writes = true
	path := "/api/" + c.Name
	one := answer("The record as it is now.", ref("schemas", c.Name), "ETag", "Idempotent-Replayed",
		"Galley-At")
	if c.Allow.Create != nil {
		d.schemas[c.Name+"_create"] = createSchema(c)
		created := answer("The record as it was stored.", ref("schemas", c.Name), "ETag",
			"Idempotent-Replayed", "Galley-At")
		created["headers"].(object)["Location"] = header("Where the record is.")
		d.add("post", path, operation{id: "create_" + c.Name, tag: c.Name,
			summary:    "Create one of " + c.Name,
			parameters: params("Idempotency-Key"), body: body(c.Name + "_create"),
			answers:  object{"201": created},
			problems: []string{"400", "401", "403", "409", "413", "415", "422"}})
	}
	if c.Allow.Update != nil {
		d.schemas[c.Name+"_update"] = updateSchema(c)
		d.add("patch", path+"/{id}", operation{id: "update_" + c.Name, tag: c.Name,
			summary: "Change one of " + c.Name,
			description: "A JSON merge patch: what is left out stays, null clears an optional " +
				"field. A patch with operators needs an Idempotency-Key.",
			parameters: params("id", "If-Match", "Idempotency-Key"),
			body:       body(c.Name+"_update", "application/merge-patch+json"),
			answers:    object{"200": one},
			problems:   []string{"400", "403", "404", "409", "412", "413", "415", "422"}})
	}
	if c.Allow.Delete != nil {
		d.add("delete", path+"/{id}", operation{id: "delete_" + c.Name, tag: c.Name,
			summary:    "Delete one of " + c.Name,
			parameters: params("id", "If-Match"),
			answers:    object{"204": answer("It is gone.", nil, "Galley-At")},
			problems:   []string{"400", "403", "404", "409", "412"}})
	}
}

// shorthands are the parameters that ask a field to equal a value.
func shorthands(c *spec.Collection) []any {
	var out []any
	for _, f := range c.All() {
		switch f.Type.Kind {
		case value.TypeList, value.TypeObject, value.TypeJSON:
			continue
		}
		if _, taken := parameters[f.Name]; taken || f.Hidden || !f.Read.Empty() {
			continue
		}
		t := f.Type
		t.Optional = false
		out = append(out, object{"name": f.Name, "in": "query", "schema": typeSchema(&t),
			"description": "Only those whose " + f.Name + " is this."})
	}
	return out
}

func params(names ...string) []any {
	var out []any
	for _, name := range names {
		out = append(out, ref("parameters", name))
	}
	return out
}
