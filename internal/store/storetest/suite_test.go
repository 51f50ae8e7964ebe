package storetest

import (
	"os"
	"strings"
	"testing"
)

// TestEachGuaranteeIsDocumented looks for the suite's promises in the document that
// says what they mean and where they end.
func TestEachGuaranteeIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, g := range Guarantees() {
		_, section, found := strings.Cut(string(text), "\n## "+g.Title+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		if !found {
			t.Errorf("docs/guarantees.md has no section %q", g.Title)
		}
		for _, word := range []string{"*Mechanism.*", "*Tests.*", "*Limits.*"} {
			if found && !strings.Contains(section, word) {
				t.Errorf("%s: the section has no %s", g.Title, word)
			}
		}
		for _, c := range g.Checks {
			if seen[c.Name] {
				t.Errorf("%s stands twice", c.Name)
			}
			seen[c.Name] = true
		}
	}
}
