//go:build faults

package kanban_test

import (
	"testing"

	"github.com/galleybackend/galley/internal/do/server"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

// Ana and Bo need not be at the same server: what one does at hers the other sees at his.
func TestABoardAtTwoServers(t *testing.T) {
	database := "GALLEY_DATABASE=" + pgtest.Start(t).Database(t)
	first := server.StartApp(t, "../..", ".", database)
	second := &server.Server{Galley: first.Galley, App: first.App, Data: t.TempDir(), Dev: true,
		Env: first.Env}
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := second.Stop(); err != nil {
			t.Error(err)
		}
	})
	meet(t, first, second.Address)
}
