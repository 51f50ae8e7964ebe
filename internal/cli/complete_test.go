package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestTheShellKnowsTheNamesOfTheApp(t *testing.T) {
	p := newPlace(t, strings.Replace(withEcho, "app: small\n", "app: small\nsecrets: [HOOK_KEY]\n", 1)+`views:
  dear: {from: products, fields: {most: max(record.price)}, allow: true}
`)
	for command, want := range map[string]string{"get": "dear products users", "set": "products users",
		"import": "products users", "export": "journal products users", "call": "echo",
		"secrets set": "HOOK_KEY", "secrets unset": "HOOK_KEY"} {
		// The shell asks with the words so far, and the one that is being written.
		words := append([]string{"__complete", "--app", p.dir}, strings.Fields(command)...)
		var out, errs bytes.Buffer
		run(t.Context(), append(words, ""), Program{}, nil, &out, &errs)
		names := slices.DeleteFunc(strings.Fields(out.String()), func(w string) bool {
			return strings.HasPrefix(w, ":")
		})
		if strings.Join(names, " ") != want {
			t.Errorf("galley %s: got %q, want %q (%s)", command, names, want, &errs)
		}
	}
}
