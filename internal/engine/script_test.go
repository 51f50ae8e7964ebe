package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/value"
)

// Each script is an app with calls, their answers, and the journal that they leave, the
// same on every database:
//
//	user NAME JSON                make a user, $NAME is his id
//	as NAME | nobody | admin      who calls from here on
//	create COLLECTION JSON        likewise update and delete COLLECTION ID, get, list and
//	                              aggregate COLLECTION ?PARAMS, call ACTION JSON, read
//	                              ACTION ?PARAMS, batch JSON
//	want ok JSON                  the answer; a $name that is not bound is bound, "*" is
//	                              anything, and with a key "..." other members may stand
//	want replayed ok JSON
//	want CODE [#/pointer:code…] [text]
//	journal                       then an entry a line: who operation changes intents
//
// A call may end with key=KEY, if=VERSION and dry=true.
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range paths {
		text, files := archive(t, path)
		if _, ok := files["galley.yaml"]; !ok {
			maps.Copy(files, shop(t))
		}
		run := func(t *testing.T, db database, err error) {
			if err != nil {
				t.Fatal(err)
			}
			s := &script{world: openOn(t, db, files, nil), vars: map[string]string{}, who: "nobody"}
			s.run(text)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(name+" on sqlite", func(t *testing.T) {
			db, err := sqlite.Open(t.Context(), sqlite.Config{})
			run(t, db, err)
		})
		t.Run(name+" on postgres", func(t *testing.T) {
			db, err := postgres.Open(t.Context(),
				postgres.Config{URL: pgtest.Shared(t).Database(t)})
			run(t, db, err)
		})
	}
}

type script struct {
	*world
	vars map[string]string
	who  string
	line int
	seen int // entries that were looked at

	got      any
	err      error
	replayed bool
	asked    bool
}

func (s *script) run(text string) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		s.line = i + 1
		line := strings.TrimSpace(lines[i])
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "user":
			name, body, _ := strings.Cut(rest, " ")
			var fields map[string]any
			s.must(json.Unmarshal([]byte(body), &fields))
			fields["email"] = name + "@example.com"
			text, err := json.Marshal(fields)
			s.must(err)
			s.vars[name] = string(s.create("users", string(text)))
			s.seen++
		case "as":
			s.who = rest
		case "journal":
			var want []string
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ") {
				i++
				want = append(want, strings.TrimSpace(lines[i]))
			}
			s.journal(want)
		case "want":
			s.want(rest)
		default:
			if s.asked && s.err != nil {
				s.fatalf("the last call was refused: %v %+v", s.err, fault.From(s.err).Items)
			}
			s.call(verb, rest)
		}
	}
}

func (s *script) must(err error) {
	s.t.Helper()
	if err != nil {
		s.fatalf("%v", err)
	}
}

func (s *script) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("line %d: %s", s.line, fmt.Sprintf(format, args...))
}

var verbs = map[string]engine.Verb{"create": engine.Create, "update": engine.Update,
	"delete": engine.Delete, "get": engine.Get, "list": engine.List,
	"aggregate": engine.Aggregate, "call": engine.Action, "read": engine.Action,
	"batch": engine.Batch}

// substitute puts the values of bound names in place of $names.
func (s *script) substitute(text string) string {
	names := slices.SortedFunc(maps.Keys(s.vars), func(a, b string) int { return len(b) - len(a) })
	for _, n := range names {
		text = strings.ReplaceAll(text, "$"+n, s.vars[n])
	}
	return text
}

// parse reads what stands behind a verb.
func (s *script) parse(verb, rest string) engine.Call {
	v, ok := verbs[verb]
	if !ok {
		s.fatalf("there is no verb %s", verb)
	}
	c := engine.Call{ID: ident.NewCall(), Verb: v, Door: "test"}
	rest = s.substitute(rest)
	if i := strings.IndexAny(rest, "{["); i >= 0 && !strings.Contains(rest[:i], "?") {
		d := json.NewDecoder(strings.NewReader(rest[i:]))
		var body json.RawMessage
		s.must(d.Decode(&body))
		c.Body = body
		rest = rest[:i] + rest[i+int(d.InputOffset()):]
	}
	head, params, found := strings.Cut(rest, "?")
	if found {
		var err error
		c.Params, err = url.ParseQuery(strings.ReplaceAll(params, "+", "%2B"))
		s.must(err)
	}
	for i, word := range strings.Fields(head) {
		name, val, option := strings.Cut(word, "=")
		switch {
		case option && name == "key":
			c.Key = val
		case option && name == "if":
			c.IfMatch, _ = strconv.ParseInt(val, 10, 64)
		case option && name == "dry":
			c.DryRun = true
		case i == 0:
			c.Target = word
		default:
			c.Record = word
		}
	}
	return c
}

func (s *script) call(verb, rest string) {
	c := s.parse(verb, rest)
	switch s.who {
	case "nobody":
		c.Request.IP = "192.0.2.1"
	case "admin":
		c.Trusted, c.Subject = true, ident.Subject{Who: ident.Admin, Name: "carla"}
	default:
		c.Credential = s.vars[s.who]
	}
	if c.Verb == engine.Batch {
		var parts []string
		for _, part := range s.batch(c.Body) {
			v, rest, _ := strings.Cut(part, " ")
			c.Batch = append(c.Batch, s.parse(v, rest))
		}
		_ = parts
		c.Body = nil
	}
	s.got, s.replayed, s.asked = nil, false, true
	switch verb {
	case "get", "list", "aggregate", "read":
		var a engine.Answer
		a, s.err = s.engine.Query(s.t.Context(), c)
		if s.err == nil {
			s.got = s.answer(c.Verb, a)
		}
	default:
		var r engine.Reply
		r, s.err = s.engine.Execute(s.t.Context(), c)
		s.replayed = r.Replayed
		if s.err == nil {
			s.got = s.reply(r)
		}
	}
}

func (s *script) batch(body []byte) (parts []string) {
	var raw []string
	s.must(json.Unmarshal(body, &raw))
	return raw
}

func (s *script) decode(text []byte) (v any) {
	if len(text) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		s.fatalf("%s: %v", text, err)
	}
	return v
}

func (s *script) item(i engine.Item) any {
	var v any = map[string]any{}
	if !i.Record.Zero() {
		v = s.decode(value.AppendRecord(nil, i.Record))
	}
	if len(i.Expand) > 0 {
		beside := map[string]any{}
		for _, x := range i.Expand {
			var list []any
			for _, y := range x.Items {
				list = append(list, s.item(y))
			}
			beside[x.Name] = list
		}
		v.(map[string]any)["expand"] = beside
	}
	return v
}

func (s *script) answer(verb engine.Verb, a engine.Answer) any {
	switch verb {
	case engine.Get:
		return s.item(a.Items[0])
	case engine.Action:
		return s.decode(value.AppendJSON(nil, a.Output))
	}
	page := map[string]any{"items": []any{}}
	for _, i := range a.Items {
		page["items"] = append(page["items"].([]any), s.item(i))
	}
	if a.Next != "" {
		page["next"] = a.Next
	}
	if a.HasTotal {
		page["total"] = json.Number(fmt.Sprint(a.Total))
	}
	return page
}

func (s *script) reply(r engine.Reply) any {
	switch {
	case r.Replayed:
		return s.decode([]byte(r.Body))
	case r.Verb == engine.Batch:
		var list []any
		for _, part := range r.Batch {
			list = append(list, s.reply(part))
		}
		return list
	case r.Verb == engine.Action:
		return s.decode(value.AppendJSON(nil, r.Output))
	case r.Verb == engine.Delete:
		return nil
	default:
		return s.item(r.Item)
	}
}

func (s *script) want(rest string) {
	if !s.asked {
		s.fatalf("want without a call")
	}
	s.asked = false
	rest, replayed := strings.CutPrefix(rest, "replayed ")
	if replayed != s.replayed {
		s.fatalf("replayed is %v; error %v", s.replayed, s.err)
	}
	word, text, _ := strings.Cut(rest, " ")
	if word != "ok" {
		s.wantFault(word, text)
		return
	}
	if s.err != nil {
		f := fault.From(s.err)
		s.fatalf("got %s %q %+v cause %v, want ok", f.CodeOr(), f.Message, f.Items, f.Cause)
	}
	if text == "" {
		return
	}
	want := s.decode([]byte(text))
	if err := s.match(want, s.got); err != nil {
		got, _ := json.Marshal(s.got)
		s.fatalf("%v in %s", err, got)
	}
}

func (s *script) wantFault(code, text string) {
	if s.err == nil {
		got, _ := json.Marshal(s.got)
		s.fatalf("got ok %s, want %s", got, code)
	}
	f := fault.From(s.err)
	var items []string
	for _, i := range f.Items {
		items = append(items, i.Pointer+":"+i.Code)
	}
	var details []string
	for _, i := range f.Items {
		details = append(details, i.Detail)
	}
	all := fmt.Sprintf("%s %s %s at %s:%d.%d data %v %v", strings.Join(items, " "), strings.Join(details, ", "), f.Message,
		f.At.Parameter, f.At.Column, f.At.Request, f.Data, f.Cause)
	if f.CodeOr() != code || !strings.Contains(all, s.substitute(text)) {
		s.fatalf("got %s %s, want %s %s", f.CodeOr(), all, code, text)
	}
}

// match compares what was wanted with what came.
func (s *script) match(want, got any) error {
	switch w := want.(type) {
	case string:
		if w == "*" && got != nil {
			return nil
		}
		if name, ok := strings.CutPrefix(w, "$"); ok {
			if bound, ok := s.vars[name]; ok {
				w = bound
			} else if text, ok := got.(string); ok {
				s.vars[name] = text
				return nil
			}
		}
		if got != w {
			return fmt.Errorf("got %v, want %v", got, w)
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Errorf("got %v, want %d items", got, len(w))
		}
		for i := range w {
			if err := s.match(w[i], g[i]); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("got %v, want an object", got)
		}
		_, open := w["..."]
		for name, x := range w {
			if name == "..." {
				continue
			}
			if err := s.match(x, g[name]); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if _, there := g[name]; !there {
				return fmt.Errorf("%s is missing", name)
			}
		}
		for name := range g {
			if _, wanted := w[name]; !wanted && !open {
				return fmt.Errorf("%s is there, unwanted", name)
			}
		}
	default:
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
	}
	return nil
}

// journal compares the entries since it was last asked.
func (s *script) journal(want []string) {
	names := map[string]string{}
	for n, id := range s.vars {
		names[id] = "$" + n
	}
	var got []string
	all := s.entries()
	for _, e := range all[s.seen:] {
		who := e.Origin.Subject.String()
		if n, ok := names[string(e.Origin.Subject.ID)]; ok {
			who = n
		}
		line := who + " " + e.Origin.Operation
		for _, c := range e.Changes {
			mark := "~"
			switch {
			case c.Before.Zero():
				mark = "+"
			case c.After.Zero():
				mark = "-"
			}
			id := string(c.ID)
			if n, ok := names[id]; ok {
				id = n
			} else {
				id = "*"
			}
			line += " " + mark + c.Collection + "/" + id
		}
		for _, i := range e.Intents {
			payload := string(value.AppendJSON(nil, i.Payload))
			for id, n := range names {
				payload = strings.ReplaceAll(payload, id, n)
			}
			payload = regexp.MustCompile(`"id":"[0-9a-z]{26}"`).ReplaceAllString(payload, `"id":"*"`)
			line += fmt.Sprintf(" intend %s:%s %s", i.Kind, i.Name, payload)
		}
		if e.Refusal != nil {
			line += " refused " + e.Refusal.CodeOr()
		}
		got = append(got, line)
	}
	s.seen = len(all)
	if !slices.Equal(got, want) {
		s.fatalf("the journal is\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
