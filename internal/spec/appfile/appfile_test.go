package appfile

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestFindingsAreRenderedAsTheManualSays compares each testdata/NAME.yaml with what
// is said of it, in testdata/NAME.want.
func TestFindingsAreRenderedAsTheManualSays(t *testing.T) {
	names, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s, findings := Parse(map[string][]byte{Name: text, "public/index.html": nil})
			var got bytes.Buffer
			if err := Render(&got, findings, s.Files, false); err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(name, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
			}
		})
	}
}

// marked takes «the marks» out of a text and returns the place they stood at.
func marked(t *testing.T, text string) ([]byte, spec.Pos, int) {
	t.Helper()
	before, rest, ok := strings.Cut(text, "«")
	inside, after, ok2 := strings.Cut(rest, "»")
	if !ok || !ok2 {
		t.Fatalf("no marks in %q", text)
	}
	lines := strings.Split(before, "\n")
	pos := spec.Pos{File: Name, Line: len(lines), Column: len([]rune(lines[len(lines)-1])) + 1}
	return []byte(before + inside + after), pos, max(1, len([]rune(inside)))
}

// inThings is the beginning of an app, up to what its collection things says.
const inThings = "app: a\ncollections:\n  owners: {}\n  things:\n"

// TestEveryMistakeIsToldAtItsPlace has one mistake in each text, marked where the
// carets belong.
func TestEveryMistakeIsToldAtItsPlace(t *testing.T) {
	for _, c := range mistakes {
		t.Run(c.message, func(t *testing.T) {
			text, pos, width := marked(t, c.text)
			_, findings := Parse(map[string][]byte{Name: text, "public/index.html": nil})
			if len(findings) != 1 {
				var got bytes.Buffer
				_ = Render(&got, findings, map[string][]byte{Name: text}, false) // a buffer takes all
				t.Fatalf("got %d findings, want 1:\n%s", len(findings), got.String())
			}
			f := findings[0]
			if f.Pos != pos || max(f.Width, 1) != width {
				t.Errorf("got place %+v width %d, want %+v width %d", f.Pos, f.Width, pos, width)
			}
			if !strings.Contains(f.Message, c.message) {
				t.Errorf("got message %q, want %q in it", f.Message, c.message)
			}
			if !strings.Contains(f.Help, c.help) {
				t.Errorf("got help %q, want %q in it", f.Help, c.help)
			}
		})
	}
}

var mistakes = []struct{ message, help, text string }{
	// The form of the file.
	{"YAML reads ! at the start as a tag", "write record.hidden == false, or quote the rule",
		inThings + "    allow: \n      read: «!record.hidden»\n"},
	{"YAML reads ! at the start as a tag", "quote the text", inThings + "    was: «!!str» x\n"},
	{"as an anchor", "write the value out", inThings + "    was: «&»old x\n"},
	{"as an alias", "write the value out", inThings + "    was: «*»old\n"},
	{"no merge keys", "write the keys out", inThings + "    «<<»: {was: old}\n"},
	{"YAML reads ? at the start as a key", "quote", "«?» app: b\n"},
	{"no directives", "remove", "«%»YAML 1.2\n---\napp: a\n"},
	{"one document", "remove", "app: a\n«---»\napp: b\n"},
	{"an app file has no null", "give was a value", inThings + "    was: «null»\n"},
	{"an app file has no null", "give was a value", inThings + "    was: «~»\n"},
	{"was has no value", "give it a value", inThings + "    «was»:\n"},
	{"app is written twice", "keep one", "app: a\n«app»: b\n"},
	{"things is written twice", "keep one", inThings + "    keep: 1d\n  «things»: {}\n"},
	{`galley.yaml has no key "ap"`, "did you mean app?", "«ap»: b\napp: a\n"},
	{`things has no key "feilds"`, "did you mean fields?", inThings + "    «feilds»: {}\n"},
	{`things has no key "x"`, "known are fields, check", inThings + "    «x»: {}\n"},
	{"a colon with a space ends a key", "quote rules that contain `: `",
		inThings + "    allow: \n      read: «a ? b : c»\n"},
	{"inside { } a comma ends the value", "put `if:` on its own line",
		inThings + "    allow: \n      read: {if: «f(a», b)}\n"},
	{"inside { } a [ begins a list", `"string[]"`,
		inThings + "    fields: {a: {type: string«[»], max: 3}}\n"},
	{"YAML ends a list with ]", `"[a, b]?"`, inThings + "    fields:\n      a: [a, b]«?»\n"},
	{"a value that begins with a quote ends with it", "quote the whole value",
		inThings + "    allow: \n      read: \"a\" «=»= record.x\n"},
	{"the closing quote is missing", "quote the whole value", "app: «'»a\n"},
	{"',' or '}' must be specified", "close every [ and {",
		inThings + "    allow:\n      update: {if: a &&\n        «b», fields: []}\n      delete: x\n"},
	{"'@' is a reserved character", "quote", "app: «@»a\n"},
	{"a tab in the indentation", "indent with spaces", "app: a\ncollections:\n«\t»x: {}\n"},
	{"this line is no key with a value", "write KEY: VALUE", "app: a\n«c»ollections\n"},
	{"galley.yaml is empty", "begins with app", "«»# nothing\n"},
	{"galley.yaml is a mapping, not a list", "", "«-» a\n"},
	{"a control character (U+0007)", "escape", "app: a«\a»\n"},
	{"this line is not UTF-8", "save", "app: a\n«a»pp\xff: 1\n"},
	{"nested deeper than 16", "", "app: " + strings.Repeat("[", 16) + "«[»" +
		strings.Repeat("]", 17) + "\n"},
	{"nested deeper than 16", "", "app: a\nx:\n  " + strings.Repeat("- ", 16) + "«-» a\n"},

	// The app.
	{"the app has no name", "app: NAME", "«errors»: {a: b}\n"},
	{`"My-App" cannot name an app`, "my_app", "app: «My-App»\n"},
	{"at most 60 characters, this one 61", "", "app: «" + strings.Repeat("a", 61) + "»\n"},
	{`"Euro" is no currency`, "EUR", "app: a\ncurrency: «Euro»\n"},
	{`unknown timezone "Mars/Base"`, "Europe/Lisbon", "app: a\ntimezone: «Mars/Base»\n"},
	{`"key" cannot name a secret`, "capital letters", "app: a\nsecrets: [«key»]\n"},
	{"KEY is named twice", "", "app: a\nsecrets: [KEY, «KEY»]\n"},
	{"secrets is a list, not a text", "", "app: a\nsecrets: «KEY»\n"},
	{"there is no folder web", "", "app: a\nsite: «web»\n"},
	{"site is a folder below the app's", "", "app: a\nsite: «../public»\n"},
	{"site is a folder below the app's", "", "app: a\nsite: «/public»\n"},
	{"no file matches more/*.yaml", "", "app: a\ninclude: [«more/*.yaml»]\n"},
	{"include cannot name this", "below the app's folder", "app: a\ninclude: [«../x.yaml»]\n"},
	{"include is a list of files", "[collections/*.yaml]", "app: a\ninclude: «x.yaml»\n"},

	// Signing in.
	{"auth does not say how people sign in", "[password]", "app: a\nauth: «{»}\n"},
	{"signing in with magic_link is not supported yet", "",
		"app: a\nauth:\n  sign_in: [password, «magic_link»]\n"},
	{`unknown way to sign in "pasword"`, "did you mean password?",
		"app: a\nauth:\n  sign_in: [«pasword»]\n"},
	{"sign_in names no way", "", "app: a\nauth:\n  sign_in: «[»]\n"},
	{`users has no field "name"`, "email", "app: a\nauth: {sign_in: [password], " +
		"sign_up: {fields: [«name»]}}\n"},
	{"email is written by Galley itself", "remove it", "app: a\nauth: {sign_in: [password], " +
		"sign_up: {fields: [«email»]}}\n"},
	{"nobody can sign up: sign_up does not name name", "add it to fields",
		"app: a\nauth: {sign_in: [password], sign_up: «{»fields: []}}\n" +
			"collections: {users: {fields: {name: string}}}\n"},

	// Named rules.
	{`"member" cannot name a rule`, "NAME(PARAMETER)", "app: a\ndefine:\n  «member»: true\n"},
	{`"B" cannot name a parameter`, "NAME(PARAMETER)", "app: a\ndefine:\n  «m(B)»: true\n"},
	{"the parameter b is named twice", "", "app: a\ndefine:\n  m(b, «b»): true\n"},
	{"m is defined twice", "", "app: a\ndefine:\n  m(b): true\n  «m(c)»: true\n"},

	// Collections.
	{`"Things" cannot name a collection`, "things", "app: a\ncollections:\n  «Things»: {}\n"},
	{"Galley itself serves /api/jobs", "another name", "app: a\ncollections:\n  «jobs»: {}\n"},
	{"the client has an api.outbox of its own", "another name", "app: a\ncollections:\n  «outbox»: {}\n"},
	{"what has it is a promise", "another name", "app: a\nactions:\n  «then»: {allow: true}\n"},
	{"rules have a variable", "", "app: a\ncollections:\n  «record»: {}\n"},
	{"a word of the rule language", "", "app: a\ncollections:\n  «package»: {}\n"},
	{"the name of a type", "", "app: a\ncollections:\n  «text»: {}\n"},
	{"things is a mapping, not a text", "", "app: a\ncollections:\n  things: «x»\n"},
	{"unique is a list of lists", "unique: [[name]]", inThings + "    fields: {name: string}\n" +
		"    unique: [«name»]\n"},
	{`things has no field "nam"`, "did you mean name?", inThings + "    fields: {name: string}\n" +
		"    unique: [[«nam»]]\n"},
	{`things has no field "nam"`, "did you mean name?", inThings + "    fields: {name: string}\n" +
		"    index: [[created, «-nam»]]\n"},
	{"which no index can hold", "", inThings + "    fields: {a: json}\n    index: [[«a»]]\n"},
	{"unique names no field", "", inThings + "    unique: [«[»]]\n"},
	{`"3 weeks" is no length of time`, "90s or 30d", inThings + "    keep: «3 weeks»\n"},
	{"keep lies between 1h and 36500d", "", inThings + "    keep: «1s»\n"},
	{"owners is still a collection", "", inThings + "    was: «owners»\n"},

	// Fields.
	{`unknown type "strng"`, "did you mean string? types are",
		inThings + "    fields: {a: «strng»}\n"},
	{`unknown type "thing"`, "did you mean things?", inThings + "    fields: {a: «thing»?}\n"},
	{`unknown type "zzzzzz"`, "collection: owners, things",
		inThings + "    fields: {a: «zzzzzz»}\n"},
	{`unknown type "strng"`, "string", inThings + "    fields: {a: {type: '«strng»[]'}}\n"},
	{"every record of things has id already", "", inThings + "    fields: {«id»: string}\n"},
	{"every record of users has email already", "", "app: a\ncollections:\n  users: " +
		"{fields: {«email»: string}}\n"},
	{"expand cannot name a field", "", inThings + "    fields: {«expand»: string}\n"},
	{"a word of the rule language", "", inThings + "    fields: {«in»: string}\n"},
	{`"userName" cannot name a field`, "user_name", inThings + "    fields: {«userName»: int}\n"},
	{"a has no type", "write {type", inThings + "    fields: {«a»: {max: 3}}\n"},
	{"the items of a list cannot be optional", "int[]",
		inThings + "    fields:\n      a: «int?[]»\n"},
	{"b is named twice", "", inThings + "    fields: {a: [b, «b»]}\n"},
	{`"b c" cannot be a word of an enum`, "letters", inThings + "    fields: {a: [b, «b c»]}\n"},
	{"an enum of the one word owners", "owners[]", inThings + "    fields: {a: [«owners»]}\n"},
	{"this list says no type", "[a, b]", inThings + "    fields: {a: «[»]}\n"},
	{"a list has items of one kind", "one { }",
		inThings + "    fields: {a: [{b: int}, «{»c: int}]}\n"},
	{"max is less than min", "", inThings + "    fields: {a: {type: int, min: 2, max: «1»}}\n"},
	{"max of int is a whole number", "", inThings + "    fields: {a: {type: int, max: «1.5»}}\n"},
	{"max of string is a whole number from 0", "",
		inThings + "    fields: {a: {type: string, max: «-1»}}\n"},
	{"max of a list is a whole number from 0 to 10000", "",
		inThings + "    fields: {a: {type: 'int[]', max: «10001»}}\n"},
	{"min of date is a date such as", "",
		inThings + "    fields: {a: {type: date, min: «2026-13-01»}}\n"},
	{"bool has no min", "", inThings + "    fields: {a: {type: bool, min: «1»}}\n"},
	{"missing closing ]", "RE2", inThings + "    fields: {a: {type: string, pattern: «\"[\"»}}\n"},
	{"pattern is for string and text, not for int", "",
		inThings + "    fields: {a: {type: int, pattern: «x»}}\n"},
	{"the default must be a whole number", "",
		inThings + "    fields: {a: {type: int, default: «x»}}\n"},
	{"the default must be at most 3", "",
		inThings + "    fields: {a: {type: int, max: 3, default: «4»}}\n"},
	{"the default must be one of paid, open", "did you mean paid?",
		inThings + "    fields: {a: {type: [paid, open], default: «piad»}}\n"},
	{"the default must be true or false", "",
		inThings + "    fields: {a: {type: bool, default: «yes»}}\n"},
	{"a relation has no default", "set: auth",
		inThings + "    fields: {a: {type: owners, default: «x»}}\n"},
	{"set replaces what default fills in", "keep one",
		inThings + "    fields: {a: {type: int, set: «'1'», default: 2}}\n"},
	{"on_delete is for relations, not for int", "",
		inThings + "    fields: {a: {type: int, on_delete: «cascade»}}\n"},
	{`unknown on_delete "cascde"`, "did you mean cascade?",
		inThings + "    fields: {a: {type: owners, on_delete: «cascde»}}\n"},
	{"clear is for relations that are optional", "owners?",
		inThings + "    fields: {a: {type: owners, on_delete: «clear»}}\n"},
	{"cannot be unique", "", inThings + "    fields: {a: {type: json, unique: «true»}}\n"},
	{"unique is true or false", "", inThings + "    fields: {a: {type: int, unique: «yes»}}\n"},
	{"b is still a field of its own", "",
		inThings + "    fields: {b: int, a: {type: int, was: «b»}}\n"},

	// Rules of access and invariants.
	{"update names the fields that clients may send", "{if: record == auth, fields: [...]}",
		inThings + "    allow: \n      update: «record == auth»\n"},
	{"create names the fields that clients may send", "add fields",
		inThings + "    allow: \n      create: «{»if: true}\n"},
	{"create has no rule", "if: true", inThings + "    allow: \n      create: «{»fields: []}\n"},
	{"read has no fields", "at the field",
		inThings + "    allow: \n      read: {if: true, fields: «[»]}\n"},
	{`allow has no key "raed"`, "did you mean read?", inThings + "    allow: {«raed»: true}\n"},
	{`things has no field "nmae"`, "did you mean name?", inThings + "    fields: {name: string?}\n" +
		"    allow: {update: {if: true, fields: [«nmae»]}}\n"},
	{"version is written by Galley itself", "remove it",
		inThings + "    allow: {update: {if: true, fields: [«version»]}}\n"},
	{"a is set by a rule", "remove it", inThings + "    fields: {a: {type: owners, set: auth}}\n" +
		"    allow: {create: {if: true, fields: [«a»]}}\n"},
	{"people are not created but sign up", "sign_up", "app: a\ncollections:\n  users: " +
		"{allow: {create: «{»if: true, fields: []}}}\n"},
	{"no client can create things: they need a", "add it", inThings + "    fields: {a: int}\n" +
		"    allow: {create: {if: true, fields: «[»]}}\n"},
	{"read is a rule, not a list", "quote rules", inThings + "    allow: {read: «[»a]}\n"},
	{"read is empty", "", inThings + "    allow: {read: «''»}\n"},
	{"not_found is one of the house's codes", "choose another",
		inThings + "    check: {«not_found»: x}\n"},
	{`"TooLow" cannot name a check`, "too_low", inThings + "    check: {«TooLow»: x}\n"},

	// Actions and errors.
	{`buy has no key "alow"`, "did you mean allow?", "app: a\nactions: {buy: {«alow»: x}}\n"},
	{"buy is written twice", "", "app: a\nactions: {buy: {rate: 1/s}, «buy»: {rate: 1/s}}\n"},
	{`a has no key "unique"`, "known are", "app: a\nactions: {buy: {input: {a: {type: int, " +
		"«unique»: true}}}}\n"},
	{`unknown type "itn"`, "did you mean int?", "app: a\nactions:\n  buy:\n    input:\n" +
		"      items: [{n: {type: «itn», min: 1}}]\n"},
	{"a rate begins with a number", "10/min", "app: a\nactions: {buy: {rate: «x/min»}}\n"},
	{`unknown span "sec" in a rate`, "10/s?", "app: a\nactions: {buy: {rate: «10/sec»}}\n"},
	{"timeout lies between 10ms and 1m", "", "app: a\nactions: {buy: {timeout: «5h»}}\n"},
	{"idempotency can only be optional", "", "app: a\nactions: {buy: {idempotency: «none»}}\n"},
	{"an action that only reads needs no key", "",
		"app: a\nactions: {buy: {read_only: true, idempotency: «optional»}}\n"},
	{"read_only is true or false", "", "app: a\nactions: {buy: {read_only: «maybe»}}\n"},
	{"keeps its status", "sentence only", "app: a\nerrors: {stale: {say: x, status: «409»}}\n"},
	{"between 400 and 499", "409", "app: a\nerrors: {bad: {say: x, status: «500»}}\n"},
	{"bad has no sentence", "say", "app: a\nerrors: {«bad»: {status: 409}}\n"},
}

// TestWhatComesLaterIsRefusedByName keeps a key from being accepted and ignored.
func TestWhatComesLaterIsRefusedByName(t *testing.T) {
	top := func(key string) string { return "app: a\n«" + key + "»: {}\n" }
	texts := map[string]string{
		"search":   inThings + "    «search»: [name]\n",
		"personal": inThings + "    fields: {a: {type: int, «personal»: true}}\n",
		"accept":   inThings + "    fields: {a: {type: string, «accept»: [image/*]}}\n",
		"file":     inThings + "    fields: {a: «file»?}\n",
	}
	for _, key := range strings.Fields("" +
		"edge") {
		texts[key] = top(key)
	}
	for _, method := range methodsLater {
		texts[method] = "app: a\nauth: {sign_in: [«" + method + "»]}\n"
	}
	for name, marks := range texts {
		t.Run(name, func(t *testing.T) {
			text, pos, width := marked(t, marks)
			_, findings := Parse(map[string][]byte{Name: text})
			if len(findings) != 1 || findings[0].Pos != pos || findings[0].Width != width ||
				!strings.HasSuffix(findings[0].Message, name+" is not supported yet") ||
				findings[0].Severity != spec.Error {
				t.Errorf("got %+v, want one error at %+v", findings, pos)
			}
		})
	}
}

func TestIncludedFilesAreReadAsOne(t *testing.T) {
	files := fstest.MapFS{
		Name: {Data: []byte("app: a\ninclude: [parts/*.yaml]\ncollections:\n" +
			"  orders: {fields: {product: products}}\n")},
		"parts/b.yaml": {Data: []byte("collections:\n  products: {fields: {of: orders?}}\n")},
		"parts/c.yaml": {Data: []byte("app: b\nerrors:\n  gone: It is gone.\n" +
			"collections:\n  orders: {}\n")},
	}
	s, findings := LoadFS(files)
	if len(findings) != 2 {
		t.Fatalf("got %+v, want two findings", findings)
	}
	want := spec.Pos{File: "parts/c.yaml", Line: 1, Column: 1}
	if got := findings[0].Pos; got != want {
		t.Errorf("app in an included file: got %+v, want %+v", got, want)
	}
	if got, want := findings[1].See, (spec.Pos{File: Name, Line: 4, Column: 3}); got != want {
		t.Errorf("a collection declared twice points to %+v, want %+v", got, want)
	}
	if s.Collection("products") == nil || s.Collection("orders") == nil || len(s.Errors) != 1 {
		t.Errorf("got %+v, want both collections and the error", s)
	}
}

func TestMissingAppFileIsAFinding(t *testing.T) {
	s, findings := Load(t.TempDir())
	if s == nil || len(findings) != 1 || findings[0].Help != "galley init makes one" {
		t.Errorf("got %+v, %+v", s, findings)
	}
}

func TestBoundsAreNamed(t *testing.T) {
	many := func(n int, line string) string { return strings.Repeat(line, n) }
	numbered := func(n int, prefix, rest string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(prefix + "x" + strings.Repeat("y", i%50) + strings.Repeat("z", i/50) + rest)
		}
		return b.String()
	}
	for _, c := range []struct{ want, text string }{
		{"more than 256 KB", "app: a\n" + many(3000, "# "+many(90, "x")+"\n")},
		{"more than 5000 lines", "app: a\n" + many(5000, "#\n")},
		{"at most 200 collections", "app: a\ncollections:\n" + numbered(201, "  ", ": {}\n")},
		{"at most 200 fields", "app: a\ncollections:\n  c:\n    fields:\n" +
			numbered(201, "      ", ": int\n")},
		{"at most 4096 bytes, this one 4097", "app: a\ncollections:\n  c:\n    allow:\n" +
			"      read: " + many(4097, "x") + "\n"},
		{"at most 32 checks", "app: a\ncollections:\n  c:\n    check:\n" +
			numbered(33, "      ", ": y\n")},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, findings := Parse(map[string][]byte{Name: []byte(c.text)})
			if len(findings) != 1 || !strings.Contains(findings[0].Message, c.want) {
				t.Errorf("got %+v, want %q", findings, c.want)
			}
		})
	}
}

// TestSpecSaysWhatTheFileSays reads one app that uses every key.
func TestSpecSaysWhatTheFileSays(t *testing.T) {
	s, findings := Load("testdata/whole")
	if len(findings) > 0 {
		var b bytes.Buffer
		_ = Render(&b, findings, s.Files, false) // a buffer takes all
		t.Fatal(b.String())
	}
	cards := s.Collection("cards")
	if got, want := cards.Doc, "A card lies in a list.\nIt has an author."; got != want {
		t.Errorf("doc %q, want %q", got, want)
	}
	if got := cards.Field("author"); got.Set.Source != "auth" || got.Type.Of != "users" {
		t.Errorf("author %+v", got)
	}
	if got := cards.Field("state").Default; got.Text() != "open" {
		t.Errorf("default of state %v", got)
	}
	if got := cards.Field("tags"); got.Type.Kind != value.TypeList || !got.Type.Optional ||
		got.Type.Max.Int != 5 || got.Type.Elem.Kind != value.TypeString {
		t.Errorf("tags %+v", got.Type)
	}
	if got := cards.Field("country"); len(got.Type.Words) != 3 || got.Type.Words[1] != "no" ||
		!got.Type.Optional {
		t.Errorf("country %+v", got.Type)
	}
	if got := cards.Field("code").Type; got.Min.Int != 2 || !got.Pattern.Match("AB") {
		t.Errorf("code %+v", got)
	}
	if !cards.Field("notes").Hidden || cards.Field("body").Read.Source != "record.author == auth" {
		t.Errorf("read rules of notes and body are lost")
	}
	if cards.Keep != 90*24*time.Hour || cards.Was != "tickets" ||
		cards.Field("title").Was != "name" {
		t.Errorf("keep %v, was %q", cards.Keep, cards.Was)
	}
	if got := cards.Index[0].Fields; len(got) != 2 || !got[1].Desc || got[1].Name != "created" {
		t.Errorf("index %+v", got)
	}
	if got := cards.Allow.Update; got.Rule.Source != "editor(record.list)" || len(got.Fields) != 2 {
		t.Errorf("update %+v", got)
	}
	move := s.Action("move")
	if move.Rate != (spec.Rate{Count: 10, Per: time.Minute}) || move.Timeout != 2*time.Second ||
		!move.KeyOptional || move.Doc != "Moves cards." {
		t.Errorf("move %+v", move)
	}
	if got := move.Docs["input.cards.place"]; got != "Where it goes." {
		t.Errorf("docs %q", move.Docs)
	}
	if got := s.Define[0]; got.Name != "editor" || len(got.Params) != 1 ||
		got.Params[0].Name != "list" || got.Params[0].Pos.Column != 10 {
		t.Errorf("define %+v", got)
	}
	if got := s.Errors[1]; got.Code != "full" || got.Status != 422 || got.Say != "It is full." {
		t.Errorf("errors %+v", got)
	}
	if s.Collection("users") == nil || s.Auth.SignUp == nil {
		t.Errorf("auth makes no users")
	}
}

// TestRulesKnowTheirPlaces finds each character of each rule in the file again.
func TestRulesKnowTheirPlaces(t *testing.T) {
	s, findings := Load("testdata/whole")
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	if n := checkPlaces(t, s); n < 10 {
		t.Errorf("only %d rules were found", n)
	}
}

// TestRulesInEveryKindOfScalar reads one rule in each way that YAML has to write it,
// with either kind of line end.
func TestRulesInEveryKindOfScalar(t *testing.T) {
	for _, c := range []struct{ written, want string }{
		{"record.a == b", "record.a == b"},
		{"record.a == b # why", "record.a == b"},
		{"record.a &&\n        record.b", "record.a &&\nrecord.b"},
		{"record.a &&\n\n        record.b # why", "record.a &&\n\nrecord.b"},
		{"'it''s'", "it's"},
		{"'one\n        two'", "one two"},
		{`"a \"b\" \\ é"`, `a "b" \ é`},
		{"\"one\n        two\"", "one two"},
		{">\n        one\n          two\n", "one\ntwo"},
		{"|2-\n        one\n        two\n\n", "one\ntwo"},
		{">- # why\n        one", "one"},
		{"true", "true"},
		{"0x10 == 16", "0x10 == 16"},
		{"1.50", "1.50"},
		{"日本 == \"é\" && x", "日本 == \"é\" && x"},
		{"{if: 日本 == x, fields: []}", "日本 == x"},
		{"{if: \"f(a, b)\", fields: []}", "f(a, b)"},
	} {
		for _, end := range []string{"\n", "\r\n"} {
			text := "\ufeff" + inThings + "    allow:\n      read: " + c.written + "\n      delete: x\n"
			if strings.Contains(c.written, "{") {
				text = strings.Replace(text, "read:", "update:", 1)
			}
			text = strings.ReplaceAll(text, "\n", end)
			s, findings := Parse(map[string][]byte{Name: []byte(text)})
			if len(findings) > 0 {
				t.Errorf("%q: got %+v", text, findings)
				continue
			}
			allow := s.Collection("things").Allow
			grant := allow.Read
			if grant == nil {
				grant = allow.Update
			}
			got := grant.Rule
			if got.Source != c.want {
				t.Errorf("%q: got rule %q, want %q", c.written, got.Source, c.want)
			}
			checkPlaces(t, s)
		}
	}
}

func TestJSONIsAnAppFileToo(t *testing.T) {
	s, findings := Parse(map[string][]byte{Name: []byte(`{"app": "a", "collections": {
	"things": {"fields": {"name": {"type": "string", "max": 5, "default": "\u0041"}},
		"allow": {"read": true}}}}`)})
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	f := s.Collection("things").Field("name")
	if f.Type.Max.Int != 5 || f.Default.Text() != "A" {
		t.Errorf("got %+v", f)
	}
}

// checkPlaces compares the characters of all rules with the files and returns the
// number of rules.
func checkPlaces(t testing.TB, s *spec.Spec) int {
	rules := rulesOf(s)
	for _, rule := range rules {
		lines := strings.Split(rule.Source, "\n")
		for i, line := range lines {
			for j, want := range []rune(line) {
				at := rule.At(i+1, j+1)
				f := newFile(at.File, s.Files[at.File])
				if at.Line < 1 || at.Line > len(f.lines) || at.Column < 1 ||
					at.Column > len(f.lines[at.Line-1])+1 {
					t.Fatalf("%q: %d:%d is at %+v, outside the file", rule.Source, i+1, j+1, at)
				}
				got := ' '
				if at.Column <= len(f.lines[at.Line-1]) {
					got = f.lines[at.Line-1][at.Column-1]
				}
				if got != want && got != '\\' {
					t.Fatalf("%q: %d:%d %q is at %+v, where %q stands",
						rule.Source, i+1, j+1, want, at, got)
				}
			}
		}
	}
	return len(rules)
}

// rulesOf returns every piece of CEL in a spec.
func rulesOf(s *spec.Spec) []spec.Text {
	var rules []spec.Text
	add := func(t spec.Text) {
		if !t.Empty() {
			rules = append(rules, t)
		}
	}
	for _, d := range s.Define {
		add(d.Body)
	}
	for _, c := range s.Collections {
		for _, f := range c.Fields {
			add(f.Set)
			add(f.Read)
		}
		for _, check := range c.Checks {
			add(check.Rule)
		}
		for _, g := range []*spec.Grant{c.Allow.Read, c.Allow.Create, c.Allow.Update,
			c.Allow.Delete} {
			if g != nil {
				add(g.Rule)
			}
		}
	}
	for _, a := range s.Actions {
		add(a.Allow)
	}
	return rules
}

func TestCaretsStandUnderWideAndNarrowCharacters(t *testing.T) {
	text := []byte("a:\tx\n日本: {e\u0301: «\n")
	findings := []spec.Finding{
		{Pos: spec.Pos{File: "f", Line: 1, Column: 4}, Message: "one"},
		{Pos: spec.Pos{File: "f", Line: 2, Column: 1}, Width: 2, Message: "two"},
		{Pos: spec.Pos{File: "f", Line: 2, Column: 10}, Message: "three"},
		{Message: "nowhere", Severity: spec.Warning},
	}
	var got bytes.Buffer
	if err := Render(&got, findings, map[string][]byte{"f": text}, false); err != nil {
		t.Fatal(err)
	}
	want := `error: one
 --> f:1:4
  |
1 | a:    x
  |       ^

error: two
 --> f:2:1
  |
2 | 日本: {é: «
  | ^^^^

error: three
 --> f:2:10
  |
2 | 日本: {é: «
  |           ^

warning: nowhere
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestColoursAndJSON(t *testing.T) {
	f := []spec.Finding{{Pos: spec.Pos{File: "f", Line: 1, Column: 1}, Message: "<bad>", Fix: "good",
		See: spec.Pos{File: "f", Line: 2, Column: 3}}}
	var colored, lines bytes.Buffer
	if err := Render(&colored, f, map[string][]byte{"f": []byte("x\x1b[0m")}, true); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(colored.String(), "\x1b[1;31merror\x1b[0m") ||
		strings.Contains(colored.String(), "x\x1b") {
		t.Errorf("got %q", colored.String())
	}
	if err := RenderJSON(&lines, f); err != nil {
		t.Fatal(err)
	}
	want := `{"severity":"error","file":"f","line":1,"column":1,"width":1,"message":"<bad>",` +
		`"fix":"good","see":"f:2:3"}` + "\n"
	if lines.String() != want {
		t.Errorf("got %s want %s", lines.String(), want)
	}
}

func TestSiteLeavesTheClientsNamesToTheHouse(t *testing.T) {
	for _, name := range []string{"galley.js", "galley.d.ts"} {
		_, findings := Parse(map[string][]byte{"galley.yaml": []byte("app: a\nsite: web\n"),
			"web/index.html": nil, "web/" + name: nil})
		if len(findings) != 1 || !strings.Contains(findings[0].Message, "/"+name+" is the client") {
			t.Errorf("%s: %v", name, findings)
		}
	}
}
