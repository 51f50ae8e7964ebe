package appfile

import (
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/spec"
)

// What stands at the top of an app file, and at the top of what it includes.
var (
	rootKeys = keys{
		now: []string{"app", "currency", "timezone", "include", "secrets", "auth", "define",
			"collections", "actions", "jobs", "emails", "webhooks", "deliveries", "proxies",
			"routes", "views", "channels", "errors", "site"},
		later: []string{"edge"},
	}
	partKeys = keys{
		now: []string{"define", "collections", "actions", "jobs", "emails", "webhooks", "deliveries",
			"proxies", "routes", "views", "channels", "errors"},
		later: rootKeys.later,
	}
)

// app reads all files together, the names of collections first.
func (r *reader) app() {
	var tops []map[string]*node
	for i, root := range r.roots {
		k := partKeys
		if i == 0 {
			k = rootKeys
		}
		top := r.read(root, root.pos.File, k)
		tops = append(tops, top)
	}
	declared := map[string]*node{}
	var collections []entry
	for _, top := range tops {
		collections = append(collections, r.declare(top["collections"], declared)...)
	}
	root := tops[0]
	r.head(root)
	if auth := root["auth"]; auth != nil {
		r.auth(auth, declared)
	}
	for _, top := range tops {
		r.defines(top["define"])
	}
	for _, e := range collections {
		r.collection(e)
	}
	r.signUp()
	for _, top := range tops {
		r.actions(top["actions"])
		r.jobs(top["jobs"])
		r.emails(top["emails"])
		r.webhooks(top["webhooks"])
		r.deliveries(top["deliveries"])
		r.proxies(top["proxies"])
		r.routes(top["routes"])
		r.views(top["views"])
		r.channels(top["channels"])
		r.refusals(top["errors"])
	}
	r.helpers()
	r.strayTemplates()
}

// declare notes the names of collections, so that fields may point to those that
// come later.
func (r *reader) declare(n *node, declared map[string]*node) []entry {
	if n == nil {
		return nil
	}
	var found []entry
	r.spec.Unread.All = r.spec.Unread.All || n.kind != mapping
	for _, e := range r.pairs(n, "collections") {
		if !r.named(e.key, "a collection") {
			r.unread(e.key.text)
			r.unread(snake(e.key.text))
			continue
		}
		name := e.key.text
		if why := reserved(name); why != "" {
			r.fail(e.key, "choose another name", "%s cannot name a collection: %s", name, why)
			r.unread(name)
			continue
		}
		if first := declared[name]; first != nil {
			r.tell(e.key, spec.Finding{Message: name + " is declared twice", See: first.pos})
			continue
		}
		if len(r.collections) >= collectionMax {
			r.fail(e.key, "", "an app has at most %d collections", collectionMax)
			break
		}
		declared[name] = e.key
		r.collections = append(r.collections, name)
		found = append(found, e)
	}
	return found
}

// reserved says why a word cannot name a collection; "" if it can.
func reserved(name string) string {
	if slices.Contains(strings.Fields("actions auth batch channels events files health "+
		"hooks jobs openapi proxy ws"), name) {
		return "Galley itself serves /api/" + name
	}
	if slices.Contains(strings.Fields("channel line outbox then upload"), name) {
		return "the client has an api." + name + " of its own"
	}
	return wordTaken(name)
}

// wordTaken says why a word can name nothing that rules speak of; "" if it can.
func wordTaken(name string) string {
	switch {
	case slices.Contains(strings.Fields("record before input now request"), name):
		return "rules have a variable of that name"
	case slices.Contains(strings.Fields("in true false null as break const continue else for "+
		"function if import let loop namespace package return var void while"), name):
		return "it is a word of the rule language"
	case slices.Contains(typeWords(), name), slices.Contains(strings.Fields("file uint double "+
		"bytes list map type dyn timestamp"), name):
		return "it is the name of a type"
	}
	return ""
}

// head reads what is said of the app itself.
func (r *reader) head(root map[string]*node) {
	if n := root["app"]; n == nil {
		at := r.roots[0]
		if at.get("app") == nil && at.kind == mapping {
			r.fail(at, "write app: NAME at the top", "the app has no name")
		}
	} else if text, ok := r.plain(n, "app"); ok && r.named(n, "an app") {
		r.spec.App = text
	}
	if n := root["currency"]; n != nil {
		if text, ok := r.plain(n, "currency"); ok {
			if !isCurrency(text) {
				r.fail(n, "write its three letters, such as EUR", "%q is no currency", text)
			}
			r.spec.Currency = text
		}
	}
	if n := root["timezone"]; n != nil {
		if text, ok := r.plain(n, "timezone"); ok {
			if _, err := time.LoadLocation(text); err != nil || text == "Local" {
				r.fail(n, "write a name such as Europe/Lisbon or UTC", "unknown timezone %q", text)
			}
			r.spec.Timezone = text
		}
	}
	if n := root["secrets"]; n != nil {
		for _, item := range r.names(n, "secrets", wordsMax) {
			if !isSecret(item.text) {
				r.fail(item, "a name has capital letters, digits and _, such as STRIPE_KEY; "+
					"its value is never in the file", "%q cannot name a secret", item.text)
				continue
			}
			r.spec.Secrets = append(r.spec.Secrets, nameOf(item))
		}
	}
	if n := root["site"]; n != nil {
		if text, ok := r.plain(n, "site"); ok {
			switch text = strings.TrimSuffix(text, "/"); {
			case !localPath(text):
				r.fail(n, "", "site is a folder below the app's")
			case !r.src.folder(text):
				r.fail(n, "", "there is no folder %s", text)
			}
			for _, name := range []string{"galley.js", "galley.d.ts"} {
				if found, err := r.src.glob(text + "/" + name); err == nil && len(found) > 0 {
					r.fail(n, "remove it or give it another name",
						"%s/%s would never be served: /%s is the client that Galley serves itself", text,
						name, name)
				}
			}
			r.spec.Site = text
		}
	}
}

func isCurrency(s string) bool {
	return len(s) == 3 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func isSecret(s string) bool {
	return isWord(strings.ToLower(s)) && s == strings.ToUpper(s) && len(s) <= nameMax
}

// methods of signing in whose time has not come.
var methodsLater = []string{"passkey", "magic_link", "google", "github", "apple", "microsoft",
	"oidc", "totp"}

// auth reads who may sign in, and makes the collection users if the app has none.
func (r *reader) auth(n *node, declared map[string]*node) {
	r.spec.Auth = &spec.Auth{Pos: n.pos}
	m := r.read(n, "auth", keys{now: []string{"sign_in", "sign_up"}})
	if declared[spec.Users] == nil {
		r.collections = append(r.collections, spec.Users)
		r.spec.Collections = append(r.spec.Collections,
			&spec.Collection{Name: spec.Users, Pos: n.pos})
	}
	if m["sign_in"] == nil {
		if n.get("sign_in") == nil && n.kind == mapping {
			r.fail(n, "write sign_in: [password]", "auth does not say how people sign in")
		}
	} else {
		items := r.names(m["sign_in"], "sign_in", wordsMax)
		for _, item := range items {
			switch {
			case item.text == "password":
				r.spec.Auth.SignIn = append(r.spec.Auth.SignIn, nameOf(item))
			case slices.Contains(methodsLater, item.text):
				r.fail(item, "", "signing in with %s is not supported yet", item.text)
			default:
				r.unknown(item, append([]string{"password"}, methodsLater...),
					"known is password", "unknown way to sign in %q", item.text)
			}
		}
		if m["sign_in"].kind == sequence && len(m["sign_in"].items) == 0 {
			r.fail(m["sign_in"], "write sign_in: [password]", "sign_in names no way to sign in")
		}
	}
	if up := m["sign_up"]; up != nil {
		fields := r.read(up, "sign_up", keys{now: []string{"fields"}})["fields"]
		if fields == nil {
			if up.kind == mapping && up.get("fields") == nil {
				r.fail(up, "write sign_up: {fields: []}", "sign_up names no fields")
			}
			return
		}
		if fields.kind == sequence {
			r.spec.Auth.SignUp = &spec.SignUp{Pos: up.pos}
		}
		for _, item := range r.names(fields, "fields", fieldMax) {
			r.spec.Auth.SignUp.Fields = append(r.spec.Auth.SignUp.Fields, nameOf(item))
		}
	}
}

// signUp asks of the fields of sign_up whether users have them, and of the fields
// that users must have whether sign_up asks for them.
func (r *reader) signUp() {
	if r.spec.Auth == nil || r.spec.Auth.SignUp == nil {
		return
	}
	up, users := r.spec.Auth.SignUp, r.spec.Collection(spec.Users)
	if users == nil {
		return
	}
	asked, sound := map[string]bool{}, true
	for _, name := range up.Fields {
		asked[name.Name] = true
		sound = r.sendable(users, &node{kind: scalar, text: name.Name, pos: name.Pos,
			width: len(name.Name)}, true) && sound
	}
	var missing []string
	for _, f := range users.Fields {
		if sound && r.needed(f) && !asked[f.Name] {
			missing = append(missing, f.Name)
		}
	}
	if len(missing) > 0 {
		r.fail(&node{pos: up.Pos, width: 1},
			"add it to fields, give it a default, or mark it optional with ?",
			"nobody can sign up: sign_up does not name %s, which users need",
			strings.Join(missing, ", "))
	}
}

// defines reads the named rules.
func (r *reader) defines(n *node) {
	if n == nil {
		return
	}
	r.spec.Unread.All = r.spec.Unread.All || n.kind != mapping
	for _, e := range r.pairs(n, "define") {
		d, ok := r.signature(e.key)
		if !ok {
			name, _, _ := strings.Cut(e.key.text, "(")
			r.unread(strings.TrimSpace(name))
			continue
		}
		d.Body = r.cel(e.value, "the rule "+d.Name)
		same := func(o *spec.Define) bool { return o.Name == d.Name }
		if i := slices.IndexFunc(r.spec.Define, same); i >= 0 {
			r.tell(e.key, spec.Finding{Message: d.Name + " is defined twice",
				See: r.spec.Define[i].Pos})
			continue
		}
		if len(r.spec.Define) >= collectionMax {
			r.fail(e.key, "", "an app has at most %d named rules", collectionMax)
			return
		}
		r.spec.Define = append(r.spec.Define, d)
	}
}

// signature reads a name with parameters, such as member(board).
func (r *reader) signature(key *node) (*spec.Define, bool) {
	const help = "write NAME(PARAMETER): RULE, such as member(board): …"
	name, rest, found := strings.Cut(key.text, "(")
	inner, ended := strings.CutSuffix(rest, ")")
	name = strings.TrimSpace(name)
	if !found || !ended || !isWord(name) || len(name) > nameMax {
		r.fail(key, help, "%q cannot name a rule", key.text)
		return nil, false
	}
	d := &spec.Define{Name: name, Pos: key.pos}
	if strings.TrimSpace(inner) == "" {
		return d, true
	}
	column := key.pos.Column + len(key.text) - len(rest)
	if key.quoted {
		column++
	}
	for part := range strings.SplitSeq(inner, ",") {
		param := strings.TrimSpace(part)
		at := column + len(part) - len(strings.TrimLeft(part, " "))
		column += len(part) + 1
		place := &node{kind: scalar, text: param, width: max(1, len(param)),
			pos: spec.Pos{File: key.pos.File, Line: key.pos.Line, Column: at}}
		twice := slices.ContainsFunc(d.Params, func(p spec.Name) bool { return p.Name == param })
		switch {
		case !isWord(param) || len(param) > nameMax:
			r.fail(key, help, "%q cannot name a parameter", param)
			return nil, false
		case twice:
			r.fail(place, "", "the parameter %s is named twice", param)
		default:
			d.Params = append(d.Params, nameOf(place))
		}
	}
	return d, true
}

// refusals reads the sentences of codes.
func (r *reader) refusals(n *node) {
	if n == nil {
		return
	}
	for _, e := range r.pairs(n, "errors") {
		if !r.named(e.key, "a refusal") {
			continue
		}
		same := func(o *spec.Refusal) bool { return o.Code == e.key.text }
		if i := slices.IndexFunc(r.spec.Errors, same); i >= 0 {
			r.tell(e.key, spec.Finding{Message: e.key.text + " is written twice",
				See: r.spec.Errors[i].Pos})
			continue
		}
		if len(r.spec.Errors) >= refusalMax {
			r.fail(e.key, "", "an app has at most %d sentences under errors", refusalMax)
			return
		}
		r.spec.Errors = append(r.spec.Errors, r.refusal(e))
	}
}

func (r *reader) refusal(e entry) *spec.Refusal {
	refusal := &spec.Refusal{Code: e.key.text, Pos: e.key.pos, Doc: r.doc(e.key)}
	say := e.value
	if e.value.kind == mapping {
		m := r.read(e.value, refusal.Code, keys{now: []string{"say", "status"}})
		say = m["say"]
		if say == nil && e.value.get("say") == nil {
			r.fail(e.key, "write {say: SENTENCE, status: 409}", "%s has no sentence", e.key.text)
		}
		if n := m["status"]; n != nil {
			refusal.Status = r.status(n, refusal.Code)
		}
	}
	if say != nil {
		text, ok := r.plain(say, "the sentence of "+refusal.Code)
		if ok && len(text) > sentenceMax {
			r.fail(say, "", "a sentence has at most %d bytes, this one %d", sentenceMax, len(text))
		}
		refusal.Say = text
	}
	return refusal
}

// status reads the HTTP status of a refusal.
func (r *reader) status(n *node, code string) int {
	text, ok := r.plain(n, "status")
	if !ok {
		return 0
	}
	status, ok := parseCount(text)
	switch {
	case !ok || status < 400 || status > 499:
		r.fail(n, "leave it out for 409", "the status of a refusal lies between 400 and 499")
		return 0
	case slices.Contains(spec.Codes(), code):
		r.fail(n, "give it a sentence only", "%s is one of the house's codes and keeps its status",
			code)
		return 0
	}
	return int(status)
}
