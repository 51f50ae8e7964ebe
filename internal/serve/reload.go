package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/transfer"
)

// Failed reports whether one of the findings is an error.
func Failed(findings []spec.Finding) bool { return spec.Failed(findings) }

// Compiled returns the app in force.
func (s *Server) Compiled() Compiled { return *s.compiled.Load() }

// Reload reads the app again. If it has errors, or changes the schema in a way that
// is not safe, the app in force stays, and problems say what is wrong until a later
// Reload does better. Calls that run end on the app they began with.
func (s *Server) Reload(ctx context.Context) ([]spec.Finding, map[string][]byte, error) {
	s.reload.Lock()
	defer s.reload.Unlock()
	next := Compile(s.cfg)
	if next.Failed() {
		s.broken.Store(firstError(next.Findings))
		return next.Findings, next.Files, nil
	}
	_, err := s.put(ctx, next, nil)
	if err != nil {
		s.broken.Store(err.Error())
	}
	return next.Findings, next.Files, err
}

// lastSave says what is wrong with the app that was read last, "" if nothing is.
func (s *Server) lastSave() string {
	text, _ := s.broken.Load().(string) // at first there is none
	return text
}

// Editor returns what editors read of an app, by path below its folder.
func Editor(c Compiled) map[string][]byte {
	files := codegen.TypeScript(c.Spec, signedIn(c))
	files[".galley/schema.json"] = codegen.EditorSchema(c.Spec)
	return files
}

// signedIn tells of which functions the caller is known to be signed in.
func signedIn(c Compiled) func(string) bool {
	return func(name string) bool {
		folder, name, _ := strings.Cut(name, "/")
		switch a, x := c.App.Action(name), c.App.Route(name); {
		case folder == action.Actions && a != nil && a.Allow != nil:
			return a.Allow.AuthRequired()
		case folder == action.Routes && x != nil && x.Allow != nil:
			return x.Allow.AuthRequired()
		}
		return false
	}
}

// Seeded counts the records that a seed brought.
type Seeded struct {
	Collection string
	Records    int
}

// Seed fills an app without records from seed/<collection>.jsonl. A line that is
// refused stops it, with its place.
func (s *Server) Seed(ctx context.Context) ([]Seeded, error) {
	// Whatever is no deploy, somebody wrote.
	entries, err := s.store.Entries(ctx, store.Filter{}, journal.Seq{}, store.EntriesMax)
	if err != nil || !slices.ContainsFunc(entries, deploys) ||
		slices.ContainsFunc(entries, func(e journal.Entry) bool { return !deploys(e) }) {
		return nil, err
	}
	var out []Seeded
	for _, c := range s.Spec().Collections {
		name := "seed/" + c.Name + ".jsonl"
		text, err := fs.ReadFile(s.cfg.files(), name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return out, err
		}
		job := s.importing(c.Name, seeder)
		job.Format, job.Name = transfer.JSONLines, name
		res, err := job.Run(ctx, bytes.NewReader(text))
		if err == nil && res.WrongAll > 0 {
			w := res.Wrong[0]
			err = fmt.Errorf("%s:%d: %s: %s", name, w.Line, w.Code, w.Detail)
		}
		if err != nil {
			return out, err
		}
		out = append(out, Seeded{c.Name, res.Done})
	}
	return out, nil
}
