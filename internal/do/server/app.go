package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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

// Mail returns a mail that was kept, the last one to an address, as `galley mail show` prints
// it.
func (s *Server) Mail(t *testing.T, to string) string {
	t.Helper()
	out, err := s.Run(t.Context(), "mail", "list", "--to", to, "--limit", "1", "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, id, _ := strings.Cut(string(out), `"id":"`)
	id, _, found := strings.Cut(id, `"`)
	if !found {
		t.Fatalf("there is no mail to %s: %s", to, out)
	}
	if out, err = s.Run(t.Context(), "mail", "show", id); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}
