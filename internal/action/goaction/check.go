package goaction

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Check compares the structs of the functions with the app file. See action.Checker.
func (p *Program) Check(s *spec.Spec) []spec.Finding {
	var found []spec.Finding
	for _, f := range action.Functions(s) {
		found = append(found, p.check(s, f)...)
	}
	return found
}

// Misfits implements action.Checker.
func (p *Program) Misfits(s *spec.Spec) map[string]bool {
	wrong := map[string]bool{}
	for _, f := range action.Functions(s) {
		wrong[f.Name] = spec.Failed(p.check(s, f))
	}
	return wrong
}

// check compares what a function takes and gives with what is declared. Who owns a
// function is asked of all languages together.
func (p *Program) check(s *spec.Spec, f action.Function) []spec.Finding {
	h := p.handlers[f.Name]
	if h == nil {
		return nil
	}
	var found []spec.Finding
	if second := p.twice[f.Name]; second != "" {
		found = append(found, spec.Finding{Pos: f.Pos, Message: fmt.Sprintf(
			"%s is registered twice, at %s and at %s", action.Title(f.Name), h.place, second)})
	}
	if h.in != nil {
		found = append(found, h.check(s, f, "input", f.Input, h.in)...)
	}
	if h.out != nil {
		found = append(found, h.check(s, f, "output", f.Output, h.out)...)
	}
	return found
}

// check compares one struct with one shape.
func (h *handler) check(s *spec.Spec, a action.Function, part string, shape *value.Shape,
	t reflect.Type) []spec.Finding {
	_, name, _ := strings.Cut(a.Name, "/")
	if shape == nil {
		if t.Kind() == reflect.Struct && t.NumField() == 0 {
			return nil
		}
		return []spec.Finding{{Pos: a.Pos, Message: fmt.Sprintf(
			"%s says that %s has no %s; %s has %s", short(a.Pos), name, part, h.place, t),
			Help: "write struct{} there"}}
	}
	_, bad := newCodec(t, shape)
	var found []spec.Finding
	for _, m := range bad {
		pos := a.Pos
		if a.Of == "" {
			pos = fieldPos(s, a, part, m.path)
		}
		of := name
		name := m.path[strings.LastIndexByte(m.path, '.')+1:]
		message := fmt.Sprintf("%s says %s is %s; %s has %s", short(pos), name, m.declared, h.place, m.got)
		switch {
		case m.got == "":
			message = fmt.Sprintf("%s says the %s of %s has %s; %s has none", short(pos), part, of, name,
				h.place)
		case m.declared == "":
			message = fmt.Sprintf("%s has %s in the %s of %s; %s does not declare it", h.place, name, part,
				of, short(pos))
		}
		found = append(found, spec.Finding{Pos: pos, Message: message,
			Help: "make the structs anew with galley gen go"})
	}
	return found
}

// fieldPos returns where the app file writes a field of a function's input or output, or
// else the function.
func fieldPos(s *spec.Spec, a action.Function, part, path string) spec.Pos {
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

// compact writes JSON without spaces.
func compact(raw []byte) (string, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return "", err
	}
	return b.String(), nil
}
