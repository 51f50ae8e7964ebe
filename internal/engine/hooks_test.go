package engine_test

import (
	"testing"
	"time"
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
