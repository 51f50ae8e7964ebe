package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/observe"
)

func TestSweepRunsHooksAndStartsWhatFollows(t *testing.T) {
	w := open(t, map[string][]byte{
		"galley.yaml": []byte(`app: small
collections:
  users:
    fields: {name: string}
  notes:
    fields: {text: string}
    hooks: [delete]
    keep: 24h
  graves:
    fields: {text: string}
emails:
  gone: {on: notes.deleted, if: record.text == "old", to: users}
`),
		"emails/gone.html": []byte("Subject: Gone\n"),
		"hooks/notes.ts": []byte(`import { hook } from "galley";
export default hook("notes", {
  delete: (tx, note, before) => tx.db.graves.insert({ text: note.text + before }),
});
`)}, nil)
	w.create("notes", `{"text":"old"}`)
	w.clock.Add(25 * time.Hour.Milliseconds())
	if n, err := w.engine.Sweep(t.Context()); err != nil || n != 1 {
		t.Fatalf("%d deleted, %v", n, err)
	}
	all := w.entries()
	last := all[len(all)-1]
	if len(last.Changes) != 2 || last.Changes[1].After.Get("text").Text() != "oldundefined" {
		t.Errorf("the sweep changed %+v", last.Changes)
	}
	if len(last.Intents) != 1 || last.Intents[0].Name != "gone" {
		t.Errorf("the sweep started %+v", last.Intents)
	}
}

func TestAJourneyShowsHooks(t *testing.T) {
	w := open(t, map[string][]byte{
		"galley.yaml": []byte("app: small\ncollections:\n  users:\n    fields: {name: string}\n" +
			"  notes:\n    fields: {text: string}\n    hooks: [create]\n"),
		"hooks/notes.ts": []byte(`import { hook } from "galley";
export default hook("notes", { create() {} });
`)}, nil)
	seen := &observe.Call{}
	_, err := w.engine.Execute(t.Context(), engine.Call{ID: ident.NewCall(), Verb: engine.Create,
		Target: "notes", Body: []byte(`{"text":"a"}`), Trusted: true, Seen: seen,
		Subject: ident.Subject{Who: ident.Admin, Name: "carla"}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range seen.Stages {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, ", "); !strings.Contains(got, "perform, hook notes.create, perform, check") {
		t.Errorf("the stages are %s", got)
	}
}
