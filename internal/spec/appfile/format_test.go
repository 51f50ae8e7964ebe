package appfile

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestFormatOrdersAndAligns(t *testing.T) {
	text := `# yaml-language-server: $schema=.galley/schema.json
# The shop.
app: shop


# What is refused.
errors:
    gone:   It is gone.
site: public
collections:
  # People.
  users:
    fields:
      name: {type: string, max: 80}  
      wallet: money

      # About them.
      about:      text?
    check:
      rich: record.wallet >= 0
      long: >
        record.name
           !=  ""
    allow:
      read: record == auth
      update: {if: record == auth,
        fields: [name]}
auth: {sign_in: [password]}
# The end.
`
	want := `# yaml-language-server: $schema=.galley/schema.json
# The shop.
app: shop

auth: {sign_in: [password]}

collections:
  # People.
  users:
    fields:
      name:   {type: string, max: 80}
      wallet: money

      # About them.
      about: text?
    check:
      rich: record.wallet >= 0
      long: >
        record.name
           !=  ""
    allow:
      read: record == auth
      update: {if: record == auth,
        fields: [name]}

# What is refused.
errors:
    gone:   It is gone.

site: public
# The end.
`
	got, findings := Format([]byte(text))
	if len(findings) > 0 || string(got) != want {
		t.Fatalf("got %v\n%s\nwant\n%s", findings, got, want)
	}
}

func TestFormatIsIdempotentAndChangesNothingSaid(t *testing.T) {
	names, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		checkFormat(t, text)
	}
}

func checkFormat(t *testing.T, text []byte) {
	once, findings := Format(text)
	if len(findings) > 0 {
		if !bytes.Equal(once, text) {
			t.Fatalf("a text with mistakes was changed to\n%s", once)
		}
		return
	}
	twice, _ := Format(once)
	if !bytes.Equal(once, twice) {
		t.Fatalf("once\n%s\ntwice\n%s", once, twice)
	}
	before, _, _ := newFile(Name, text).parse()
	after, findings, _ := newFile(Name, once).parse()
	if len(findings) > 0 || !equal(before, after, true) {
		t.Fatalf("%s\nbecame\n%s", text, once)
	}
}

func TestFormatLeavesMistakesAlone(t *testing.T) {
	text := []byte("app:   a\nb\n")
	got, findings := Format(text)
	if len(findings) == 0 || !bytes.Equal(got, text) {
		t.Errorf("got %q, %v", got, findings)
	}
}

// FuzzFormat promises that a formatted text says the same and stays as it is.
func FuzzFormat(f *testing.F) {
	for _, c := range mistakes {
		f.Add([]byte(c.text))
	}
	text, err := os.ReadFile("testdata/whole/galley.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(checkFormat)
}
