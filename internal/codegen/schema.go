package codegen

import (
	"encoding/json"

	"github.com/galleybackend/galley/internal/spec"
)

// EditorSchema returns a JSON Schema (draft 7, which editors know best) of this app's
// own file: it completes keys, the names of collections as types, and the names of
// fields where a list of them is wanted. It knows less than galley check, and never
// refuses what galley check accepts. sp may be a spec with findings.
func EditorSchema(sp *spec.Spec) []byte {
	e := &editor{spec: sp}
	root := e.closed(object{
		"app": e.text("The app's name."),
		"currency": object{"type": "string", "pattern": "^[A-Z]{3}$",
			"description": "The currency in which money is shown, such as EUR."},
		"timezone":    e.text("How dates are shown, such as Europe/Lisbon. UTC by default."),
		"include":     e.list(object{"type": "string"}, "More files, such as collections/*.yaml."),
		"secrets":     e.secrets(),
		"auth":        e.auth(),
		"define":      e.open(e.rule("A named rule."), "Named rules, such as member(board)."),
		"collections": e.collections(),
		"actions":     e.open(e.action(), "The app's business operations."),
		"jobs":        e.open(e.job(), "Work after the commit."),
		"routes":      e.open(e.route(), "The app's own URLs."),
		"views":       e.open(e.view(), "Lists that are computed, and can be read alone."),
		"emails":      e.open(e.email(), "Mails: when, to whom, how often."),
		"webhooks":    e.open(e.webhook(), "Verified calls from outside."),
		"deliveries":  e.open(e.delivery(), "Signed calls to other people's hooks."),
		"proxies":     e.open(e.proxy(), "What callers may ask of other servers, through this one."),
		"channels":    e.channels(),
		"errors":      e.open(e.refusal(), "What refusals say to people, by their codes."),
		"site":        e.text("The folder of static files."),
	})
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "galley.yaml"
	root["definitions"] = object{
		"type":  e.types(),
		"field": e.field(e.storedKeys()),
		"input": e.field(e.inputKeys()),
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps, slices and texts of our own making
	}
	return append(text, '\n')
}

// editor makes the parts of the schema.
type editor struct{ spec *spec.Spec }

// closed is a mapping with these keys and no others.
func (e *editor) closed(keys object) object {
	return object{"type": "object", "properties": keys, "additionalProperties": false}
}

// open is a mapping from names of the app's own to values of one kind.
func (e *editor) open(of object, about string) object {
	return object{"type": "object", "additionalProperties": of, "description": about}
}

func (e *editor) text(about string) object {
	return object{"type": "string", "description": about}
}

func (e *editor) list(of object, about string) object {
	return object{"type": "array", "items": of, "description": about}
}

// rule is CEL, which YAML may take for another kind of scalar.
func (e *editor) rule(about string) object {
	return object{"type": []string{"string", "boolean", "number"}, "description": about}
}

// defined points to a definition of the schema.
func defined(name string) object { return object{"$ref": "#/definitions/" + name} }

func (e *editor) secrets() object {
	return e.list(object{"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
		"The names of secrets, never their values.")
}

func (e *editor) auth() object {
	fields := e.names(e.sendable(e.spec.Collection(spec.Users)), "What new users may send.")
	auth := e.closed(object{
		"sign_in": e.list(object{"enum": []string{"password"}}, "How people sign in."),
		"sign_up": e.closed(object{"fields": fields}),
	})
	auth["description"] = "Turns sign-in on."
	return auth
}

// collections lists each collection with its own names of fields, and has a form
// without them for those that are being written.
func (e *editor) collections() object {
	known := object{}
	for _, c := range e.spec.Collections {
		known[c.Name] = e.collection(c)
	}
	return object{"type": "object", "properties": known, "description": "The data.",
		"additionalProperties": e.collection(nil)}
}

func (e *editor) collection(c *spec.Collection) object {
	stored, sorted := e.stored(c), []string(nil)
	for _, name := range stored {
		sorted = append(sorted, name, "-"+name)
	}
	writes := func(about string) object {
		g := e.closed(object{
			"if":     e.rule("Who may."),
			"fields": e.names(e.sendable(c), "The fields that clients may send."),
		})
		g["required"] = []string{"if", "fields"}
		g["description"] = about
		return g
	}
	reads := func(about string) object {
		return object{"description": about,
			"anyOf": []object{e.rule(about), e.closed(object{"if": e.rule(about)})}}
	}
	schema := e.closed(object{
		"fields": e.open(defined("field"), "The parts of a record."),
		"check":  e.open(e.rule("What must always hold."), "Invariants, by the code of their refusal."),
		"unique": e.list(e.names(stored, "Fields whose values together occur once."), "Sets of fields."),
		"index":  e.list(e.names(sorted, "Fields to look up by; -created sorts down."), "Indexes."),
		"hooks": e.list(object{"enum": []string{"create", "update", "delete"}},
			"The changes after which hooks/<collection>.ts runs, in the same transaction."),
		"allow": e.closed(object{
			"read":   reads("Who may see a record."),
			"create": writes("Who may create a record, and what clients may send."),
			"update": writes("Who may change a record, and what clients may send."),
			"delete": reads("Who may delete a record."),
		}),
		"keep": e.text("The age at which records are deleted, such as 90d."),
		"was":  e.text("The collection's former name."),
	})
	if c != nil && c.Doc != "" {
		schema["description"] = c.Doc
	}
	return schema
}

// names is a list of names, completed from those that are known; nil means that
// none are.
func (e *editor) names(known []string, about string) object {
	item := object{"type": "string"}
	if known != nil {
		item["enum"] = known
	}
	list := e.list(item, about)
	list["uniqueItems"] = true
	return list
}

// stored returns the names of all fields of a collection, nil for no collection.
func (e *editor) stored(c *spec.Collection) []string {
	if c == nil {
		return nil
	}
	var names []string
	for _, f := range c.All() {
		names = append(names, f.Name)
	}
	return names
}

// sendable returns the names of the fields that clients can be let send.
func (e *editor) sendable(c *spec.Collection) []string {
	if c == nil {
		return nil
	}
	names := []string{}
	for _, f := range c.Fields {
		if f.Set.Empty() {
			names = append(names, f.Name)
		}
	}
	return names
}

// typeWords are the types that are one word, with what editors say of them.
var typeWords = []struct{ word, about string }{
	{"string", "A short text, 255 characters unless max says otherwise."},
	{"text", "A long text, 65,536 characters unless max says otherwise."},
	{"int", "A whole number."},
	{"money", "A whole number of the smallest unit of money."},
	{"float", "A number."},
	{"bool", "True or false."},
	{"time", "An instant, such as 2026-11-21T08:30:00Z."},
	{"date", "A day, such as 2026-11-21."},
	{"duration", "A length of time, such as 90s."},
	{"email", "An e-mail address."},
	{"url", "A web address."},
	{"json", "Any JSON up to 64 KB."},
}

// types are the ways to write a type: each word with its optional and list forms,
// words of an enum, the fields of a list's items. The words of collections come
// first in completion lists because they are the app's own.
func (e *editor) types() object {
	var words []object
	add := func(word, about string) {
		for _, form := range []struct{ suffix, about string }{
			{"", ""}, {"?", " Optional."}, {"[]", " A list."}, {"[]?", " A list, optional."},
		} {
			words = append(words, object{"const": word + form.suffix,
				"description": about + form.about})
		}
	}
	for _, c := range e.spec.Collections {
		about := "One of " + c.Name + "."
		if c.Doc != "" {
			about = c.Doc
		}
		add(c.Name, about)
	}
	for _, t := range typeWords {
		add(t.word, t.about)
	}
	return object{"anyOf": append(words,
		object{"type": "string", "pattern": `^\[.*\]\??$`,
			"description": "An enum that may be left out, in quotes."},
		object{"type": "array", "minItems": 1,
			"items":       object{"type": []string{"string", "boolean", "number"}},
			"description": "An enum: one of these words."},
		object{"type": "array", "minItems": 1, "maxItems": 1,
			"items":       e.open(defined("input"), "The fields of each item."),
			"description": "A list of objects."},
	)}
}

// field is a field in its short or long form.
func (e *editor) field(keys object) object {
	long := e.closed(keys)
	long["required"] = []string{"type"}
	return object{"anyOf": []object{defined("type"), long}}
}

func (e *editor) inputKeys() object {
	bound := []string{"number", "string"}
	return object{
		"type":    defined("type"),
		"default": object{"description": "What fills the field if it is left out."},
		"min":     object{"type": bound, "description": "The least value or length."},
		"max":     object{"type": bound, "description": "The greatest value or length."},
		"pattern": e.text("An RE2 expression that a text must match."),
	}
}

func (e *editor) storedKeys() object {
	keys := e.inputKeys()
	keys["set"] = e.rule("A rule whose value replaces what clients say, once, at creation.")
	keys["unique"] = object{"type": "boolean", "description": "Each value occurs once."}
	keys["on_delete"] = object{
		"enum":        []string{spec.OnDeleteInUse, spec.OnDeleteCascade, spec.OnDeleteClear},
		"description": "What becomes of the record when the one it points to is deleted."}
	keys["read"] = e.rule("Who sees the field; false means nobody.")
	keys["was"] = e.text("The field's former name.")
	return keys
}

func (e *editor) action() object {
	parts := e.open(defined("input"), "Names and their types.")
	return e.closed(object{
		"allow":  e.rule("Who may call it; without it only code and admins."),
		"input":  parts,
		"output": parts,
		"rate": object{"type": "string", "pattern": `^[0-9]+ */ *(s|min|hour|day)$`,
			"description": "How often each caller may, such as 10/min."},
		"timeout":     e.text("How long it may take, such as 2s."),
		"idempotency": object{"enum": []string{"optional"}, "description": "No key is needed."},
		"read_only":   object{"type": "boolean", "description": "It writes nothing."},
	})
}

// refusal is a sentence, or one with a status. The codes that checks make known are
// completed by the checks themselves.
func (e *editor) refusal() object {
	say := object{"type": []string{"string", "number", "boolean"},
		"description": "A sentence for people."}
	long := e.closed(object{
		"say":    say,
		"status": object{"type": "integer", "minimum": 400, "maximum": 499},
	})
	long["required"] = []string{"say"}
	return object{"anyOf": []object{say, long}}
}
