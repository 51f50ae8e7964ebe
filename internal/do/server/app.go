package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// StartApp runs galley dev on a copy of an app, filled from its seed, until the test is over.
// The app is in the folder from, the sources of galley in the folder root.
func StartApp(t *testing.T, root, from string, env ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{Galley: filepath.Join(dir, "galley"), App: filepath.Join(dir, "app"),
		Data: filepath.Join(dir, "data"), Dev: true, Env: env}
	if err := Build(t.Context(), root, s.Galley); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(s.App, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for _, made := range []string{".galley", "data"} {
		if err := os.RemoveAll(filepath.Join(s.App, made)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// mailTime is how long a mail may take.
const mailTime = time.Minute

// Mail returns the last mail to an address once there is one, as `galley mail show` prints it.
func (s *Server) Mail(t *testing.T, to string) string {
	t.Helper()
	return s.Arrived(t, to, "")
}

// Arrived returns the last mail to an address once it holds a text.
func (s *Server) Arrived(t *testing.T, to, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), mailTime)
	defer cancel()
	for {
		out, err := s.Run(ctx, "mail", "list", "--to", to, "--limit", "1", "--json")
		if err != nil {
			t.Fatalf("no mail to %s with %q: %v\n%s", to, text, err, out)
		}
		_, id, _ := strings.Cut(string(out), `"id":"`)
		id, _, found := strings.Cut(id, `"`)
		if !found {
			continue
		}
		if out, err = s.Run(ctx, "mail", "show", id); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if strings.Contains(string(out), text) {
			return string(out)
		}
	}
}
