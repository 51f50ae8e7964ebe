package goaction

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Check compares the structs of the functions with the app file. See action.Checker.
func (p *Program) Check(s *spec.Spec) []spec.Finding {
	var found []spec.Finding
	for _, name := range sortedNames(p.handlers) {
		h, a := p.handlers[name], s.Action(name)
		if a == nil {
			continue // who owns an action is asked of all languages together
		}
		if second := p.twice[name]; second != "" {
			found = append(found, spec.Finding{Pos: a.Pos, Message: fmt.Sprintf(
				"action %s is registered twice, at %s and at %s", name, h.place, second)})
		}
		found = append(found, h.check(s, a, "input", a.Input, h.in)...)
		found = append(found, h.check(s, a, "output", a.Output, h.out)...)
	}
	return found
}

// check compares one struct with one shape.
func (h *handler) check(s *spec.Spec, a *spec.Action, part string, shape *value.Shape,
	t reflect.Type) []spec.Finding {
	if shape == nil {
		if t.Kind() == reflect.Struct && t.NumField() == 0 {
			return nil
		}
		return []spec.Finding{{Pos: a.Pos, Message: fmt.Sprintf(
			"%s says that %s has no %s; %s has %s", short(a.Pos), a.Name, part, h.place, t),
			Help: "write struct{} there"}}
	}
	_, bad := newCodec(t, shape)
	var found []spec.Finding
	for _, m := range bad {
		pos := fieldPos(s, a, part, m.path)
		name := m.path[strings.LastIndexByte(m.path, '.')+1:]
		message := fmt.Sprintf("%s says %s is %s; %s has %s", short(pos), name, m.declared, h.place, m.got)
		switch {
		case m.got == "":
			message = fmt.Sprintf("%s says the %s of %s has %s; %s has none", short(pos), part, a.Name, name,
				h.place)
		case m.declared == "":
			message = fmt.Sprintf("%s has %s in the %s of %s; %s does not declare it", h.place, name, part,
				a.Name, short(pos))
		}
		found = append(found, spec.Finding{Pos: pos, Message: message,
			Help: "make the structs anew with galley gen go"})
	}
	return found
}

// fieldPos returns where the app file writes a field of an action, or else the
// action.
func fieldPos(s *spec.Spec, a *spec.Action, part, path string) spec.Pos {
	lines := strings.Split(string(s.Files[a.Pos.File]), "\n")
	pos, from, column := a.Pos, a.Pos.Line, 0
	for _, name := range append([]string{part}, strings.Split(path, ".")...) {
		found := false
		for i := from; i <= len(lines) && !found; i++ {
			text := lines[i-1]
			if i > a.Pos.Line && indent(text) < a.Pos.Column && strings.TrimSpace(text) != "" {
				break // the next action
			}
			skip := 0
			if i == from {
				skip = min(column, len(text))
			}
			if at := keyIn(text[skip:], name); at >= 0 {
				from, column, found = i, skip+at+len(name), true
				pos = spec.Pos{File: a.Pos.File, Line: i, Column: len([]rune(text[:skip+at])) + 1}
			}
		}
		if !found {
			return pos
		}
	}
	return pos
}

// indent returns the number of spaces before a text, plus one.
func indent(text string) int { return len(text) - len(strings.TrimLeft(text, " ")) + 1 }

// keyIn returns where a line has the key, or -1.
func keyIn(text, key string) int {
	for from := 0; ; {
		at := strings.Index(text[from:], key+":")
		if at < 0 {
			return -1
		}
		at += from
		if at == 0 || strings.ContainsRune(" {,[", rune(text[at-1])) {
			return at
		}
		from = at + 1
	}
}

func short(p spec.Pos) string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

func sortedNames(m map[string]*handler) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// compact writes JSON without spaces.
func compact(raw []byte) (string, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return "", err
	}
	return b.String(), nil
}
