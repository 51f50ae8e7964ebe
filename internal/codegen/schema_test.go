package codegen

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/galleybackend/galley/internal/spec/appfile"
)

// TestEditorSchemaKnowsThisApp looks for the app's own names where an editor would
// complete them.
func TestEditorSchemaKnowsThisApp(t *testing.T) {
	sp, findings := appfile.Parse(map[string][]byte{appfile.Name: []byte(`
app: a
auth: {sign_in: [password]}
collections:
  # What is sold.
  products:
    fields:
      name: string
      by: {type: users, set: auth}
`)})
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	var schema object
	if err := json.Unmarshal(EditorSchema(sp), &schema); err != nil {
		t.Fatal(err)
	}
	at := func(path ...string) any {
		var here any = schema
		for _, key := range path {
			m, ok := here.(object)
			if !ok {
				t.Fatalf("%v leads nowhere at %s", path, key)
			}
			here = m[key]
		}
		return here
	}
	sendable := at("properties", "collections", "properties", "products", "properties", "allow",
		"properties", "update", "properties", "fields", "items", "enum")
	if got := sendable.([]any); !slices.Equal(got, []any{"name"}) {
		t.Errorf("fields that clients can send: got %v, want name alone", got)
	}
	indexed := at("properties", "collections", "properties", "products", "properties", "index",
		"items", "items", "enum").([]any)
	if !slices.Contains(indexed, "-created") || !slices.Contains(indexed, "by") {
		t.Errorf("fields of an index: got %v, want -created and by among them", indexed)
	}
	words := map[any]any{}
	for _, form := range at("definitions", "type", "anyOf").([]any) {
		words[form.(object)["const"]] = form.(object)["description"]
	}
	for _, word := range []string{"products", "products?", "users[]", "string", "money?", "int[]?"} {
		if words[word] == nil {
			t.Errorf("%s is no type in the schema", word)
		}
	}
	if got := words["products"]; got != "What is sold." {
		t.Errorf("products is described as %q, want the comment above it", got)
	}
	if at("properties", "collections", "properties", "users") == nil {
		t.Error("users, which auth makes, is missing")
	}
}
