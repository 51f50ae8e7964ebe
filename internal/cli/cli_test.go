package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/examples"
)

// TestMain lets the test binary be the command, for tests that need a process.
func TestMain(m *testing.M) {
	if os.Getenv("GALLEY_COMMAND") == "1" {
		os.Exit(Main(os.Args[1:], Program{}))
	}
	os.Exit(m.Run())
}

// place is an app in a folder of its own, with the command line.
type place struct {
	t   *testing.T
	dir string
}

// said is what a command came to.
type said struct {
	code     int
	out, err string
}

func newPlace(t *testing.T, app string) *place {
	t.Helper()
	// The path of a socket is short, so the folder cannot be the test's own.
	dir, err := os.MkdirTemp("", "galley")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p := &place{t, dir}
	p.write("galley.yaml", app)
	return p
}

func (p *place) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// galley runs a command in this process.
func (p *place) galley(args ...string) said {
	p.t.Helper()
	return p.with(p.t.Context(), "", args...)
}

func (p *place) with(ctx context.Context, in string, args ...string) said {
	p.t.Helper()
	var out, errs bytes.Buffer
	code := run(ctx, append(args, "--app", p.dir), Program{}, strings.NewReader(in), &out, &errs)
	return said{code, out.String(), errs.String()}
}

// process returns a command as a process of its own.
func (p *place) process(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], append(args, "--app", p.dir)...)
	cmd.Env = append(os.Environ(), "GALLEY_COMMAND=1")
	return cmd
}

// want runs a command and asks for its exit code, and for words in what it says.
func (p *place) want(code int, words string, args ...string) said {
	p.t.Helper()
	got := p.galley(args...)
	if got.code != code || !strings.Contains(got.out+got.err, words) {
		p.t.Fatalf("galley %s: code %d, want %d and %q\nstdout: %s\nstderr: %s",
			strings.Join(args, " "), got.code, code, words, got.out, got.err)
	}
	return got
}

const small = `app: small
auth:
  sign_in: [password]
  sign_up: {fields: [name]}
collections:
  users:
    fields:
      name:   {type: string, max: 80}
      wallet: {type: money, default: 0}
    check:
      insufficient_funds: record.wallet >= 0
    allow:
      read:   record == auth
      update: {if: record == auth, fields: [name]}
  products:
    fields:
      code:  {type: string, unique: true}
      price: {type: money, min: 1}
      note:  text?
      stock: {type: int, default: 0}
    check:
      out_of_stock: record.stock >= 0
    allow:
      read: record.stock > 0
errors:
  out_of_stock: Someone else bought the last one.
`

func TestWrongCallsNameTheRightOne(t *testing.T) {
	p := newPlace(t, small)
	for _, c := range []struct{ args, want string }{
		{"chek", "Did you mean galley check?"},
		{"new shop", "Did you mean galley init?"},
		{"frobnicate", "galley --help"},
		{"migrate aply", "Did you mean galley migrate apply?"},
		{"check --surfce", "Did you mean --surface?"},
		{"get", "galley get <collection> [id]"},
		{"gen opnapi", "Did you mean openapi?"},
		{"init x --template emty", "Did you mean empty?"},
		{"serve --limits maybe", "--limits is on or off"},
		{"set products/x price", "is not field=value"},
		{"call buy {", "is not JSON"},
		{"export products --format xml", "jsonl or csv"},
		{"why users/01", "26 characters"},
	} {
		t.Run(c.args, func(t *testing.T) {
			(&place{t, p.dir}).want(exitUsage, c.want, strings.Fields(c.args)...)
		})
	}
}

// TestAnAddressThatIsNoneIsWrongUsage names databases that cannot be, to every command in its
// own way, and wants to hear what is wrong before anything else, and of no password.
func TestAnAddressThatIsNoneIsWrongUsage(t *testing.T) {
	p := newPlace(t, small)
	for address, want := range map[string]string{
		"mysql://ana:hush@host/x":            "postgres://USER:PASSWORD@HOST/NAME",
		"sqlite:":                            "sqlite:PATH",
		"postgres://ana:hush@host:port/x":    "invalid port",
		"postgres://ana:hush@host/x?a=%zz":   "what follows the",
		"postgres://ana:hu@hush@host/x":      "written %40",
		"postgres://h/x?sslmode=hardly":      "sslmode is invalid",
		"postgres://ana:hush@h/x?schema=pg_": "no name for a schema",
	} {
		for _, args := range []string{"serve", "dev", "check", "migrate", "migrate apply", "get products",
			"set products code=a", "import products there-is-none", "export products", "why users",
			"backup", "restore there-is-none", "conform", "jobs list", "mail list"} {
			got := p.galley(append(strings.Fields(args), "--database", address)...)
			wrongAddress(t, args+" --database "+address, want, got)
		}
		for _, args := range []string{"move --to", "move --to sqlite:x --from",
			"restore there-is-none --journal"} {
			wrongAddress(t, args+" "+address, want, p.galley(append(strings.Fields(args), address)...))
		}
		t.Setenv("GALLEY_DATABASE", address)
		for _, args := range []string{"serve", "get products", "backup", "conform", "move --to sqlite:x",
			"restore there-is-none"} {
			wrongAddress(t, args+" on "+address, want, p.galley(strings.Fields(args)...))
		}
		t.Setenv("GALLEY_DATABASE", "")
	}
}

func wrongAddress(t *testing.T, what, want string, got said) {
	t.Helper()
	if got.code != exitUsage || !strings.Contains(got.err, want) || strings.Contains(got.err, "hush") ||
		!strings.Contains(got.err, "is no address of a database") {
		t.Errorf("%s: exit code %d, %s\nwant 2 and %q", what, got.code, got.err, want)
	}
}

func TestNamesThatAreNotThereAreSuggested(t *testing.T) {
	p := newPlace(t, small)
	for _, c := range []struct{ args, want string }{
		{"get prodcts", "Did you mean products?"},
		{"call buy", "the app has none"},
		{"export prodcts", "Did you mean products?"},
		{"import prodcts -", "Did you mean products?"},
		{"get products --filter pric>1", "Did you mean price?"},
		{"why products.raed", "Did you mean"},
		{"why users/01k9000000000000000000000a.walet", "Did you mean wallet?"},
		{"get users --as nobody@example.com", "no user with the address"},
	} {
		t.Run(c.args, func(t *testing.T) {
			(&place{t, p.dir}).want(exitFailed, c.want, strings.Fields(c.args)...)
		})
	}
}

func TestInitMakesAnAppThatIsRight(t *testing.T) {
	for _, template := range examples.Templates() {
		t.Run(template, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			var out, errs bytes.Buffer
			code := run(t.Context(), []string{"init", dir, "--template", template}, Program{}, nil,
				&out, &errs)
			if code != exitDone || !strings.Contains(errs.String(), "Next:  cd ") {
				t.Fatalf("code %d: %s", code, errs.String())
			}
			p := &place{t, dir}
			p.want(exitDone, "no errors", "check")
			var again bytes.Buffer
			if code := run(t.Context(), []string{"init", dir}, Program{}, nil, &out, &again); code != exitFailed {
				t.Errorf("a second init: code %d, want %d: %s", code, exitFailed, again.String())
			}
		})
	}
}

func TestCheckTellsPlacesThatCanBeOpened(t *testing.T) {
	p := newPlace(t, strings.Replace(small, "record.wallet >= 0", "record.wallt >= 0", 1))
	p.want(exitApp, filepath.Join(p.dir, "galley.yaml")+":11:33", "check")
	p.want(exitApp, "did you mean wallet", "serve")
	p.want(exitApp, "did you mean wallet", "dev", "--once")
	var f struct {
		Severity, File, Message, Help string
		Line, Column                  int
	}
	got := p.want(exitApp, "1 error", "check", "--json")
	if err := json.Unmarshal([]byte(got.out), &f); err != nil {
		t.Fatalf("%v in %q", err, got.out)
	}
	if f.Line != 11 || f.Severity != "error" || !strings.Contains(f.Help, "wallet") {
		t.Errorf("got %+v", f)
	}
}

// Code in Go is written with what gen go makes, so that comes before the code is there.
func TestTypesAreMadeBeforeTheCodeThatNeedsThem(t *testing.T) {
	p := newPlace(t, small+"actions:\n  buy:\n    allow: auth != null\n    input: {product: products}\n")
	p.want(exitApp, "no code for the action buy", "check")
	for name, want := range map[string][2]string{
		"go":     {"app/app.go", "type BuyInput struct"},
		"ts":     {".galley/galley.d.ts", "buy"},
		"schema": {".galley/schema.json", "products"},
	} {
		p.want(exitDone, "wrote", "gen", name)
		text, err := os.ReadFile(filepath.Join(p.dir, want[0]))
		if err != nil || !strings.Contains(string(text), want[1]) {
			t.Errorf("gen %s: %v, and no %q in %s", name, err, want[1], want[0])
		}
	}
	p.want(exitDone, `"/api/actions/buy"`, "gen", "openapi")
}

// What is wrong with keys, types and rules is told in one go, each mistake once, and what
// only follows from a mistake is not told at all.
func TestAllMistakesOfAFileAreToldAtOnce(t *testing.T) {
	for name, c := range map[string]struct{ app, want string }{
		"types and rules": {`app: a
auth: {sign_in: [password], sign_up: {fields: [nam]}}
define:
  mine(x): x.lost == auth
collections:
  users:
    fields:
      name:   {type: string, maxx: 80}
      wallet: {type: money, default: none}
    check: {funds: record.wallet}
    allow: {read: record == auth}
  orders:
    fields:
      customer: user
      lost:     {type: wzzzzzt}
      note:     text?
    unique: [customer, note]
    check: {judged_later: record.lost != null, also_later: mine(record)}
    allow:
      read:   record.custmer == auth
      delete: record.note == auth
  events: {fields: {title: string}}
  seats:
    fields: {event: events}
    allow:  {read: record.event.title = "x", delete: record.evnt == null}
actions:
  buy: {allow: auth.wallt > 0, input: {seat: seats}}
`, `2:48 users has no field "nam"
8:30 name has no key "maxx"
9:38 the default must be a whole number of the smallest unit of money
10:20 users.check.funds: this is a int, but a bool is needed here
14:17 unknown type "user"
15:24 unknown type "wzzzzzt"
17:14 unique is a list of lists of fields
20:21 orders.allow.read: no field "custmer"
21:27 orders.allow.delete: cannot compare string with users
22:3 events cannot name a collection: Galley itself serves /api/events
25:60 seats.allow.delete: no field "evnt"
27:20 actions.buy.allow: no field "wallt"
`},
		"a misspelt key": {strings.Replace(small, "\ncollections:", "\ncolections:", 1),
			"5:1 galley.yaml has no key \"colections\"\n"},
		"a list where a mapping belongs": {strings.Replace(small, "    fields:\n      name:",
			"    fields: []\n    check2:\n      name:", 1), `7:13 fields is a mapping, not a list
8:5 users has no key "check2"
`},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, c.app)
			var got strings.Builder
			for line := range strings.Lines(p.want(exitApp, "error", "check", "--json").out) {
				var f struct {
					Message      string
					Line, Column int
				}
				if err := json.Unmarshal([]byte(line), &f); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&got, "%d:%d %s\n", f.Line, f.Column, f.Message)
			}
			if got.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), c.want)
			}
		})
	}
}

// A refusal by code has no rule that could be shown, so the line of the code is.
func TestWhyNamesTheLineOfCodeThatRefused(t *testing.T) {
	p := newPlace(t, small+"  closed: We are closed.\nactions:\n  buy:\n    allow: true\n"+
		"    input: {product: products?}\n")
	p.write("actions/buy.ts", `import { action, refuse } from "galley";
export default action("buy", async (tx, input) => {
  if (!input.product) throw refuse("closed");
  await tx.db.products.get(input.product);
});
`)
	for input, want := range map[string]string{
		`{}`: "closed at actions/buy.ts:3",
		`{"product":"01k9000000000000000000000a"}`: "not_found at actions/buy.ts:4",
	} {
		_, id, _ := strings.Cut(p.want(exitFailed, "galley why ", "call", "buy", input).err, "galley why ")
		p.want(exitDone, want, "why", strings.Fields(id)[0])
	}
}

func TestSyntaxErrorInCodeIsToldOnceWithItsLine(t *testing.T) {
	p := newPlace(t, small+"actions:\n  buy:\n    allow: auth != null\n")
	p.write("actions/buy.ts", "import { action } from \"galley\";\nexport default = ;\n")
	got := p.want(exitApp, "export default = ;", "check")
	if strings.Contains(got.err, "no code for the action") {
		t.Errorf("one mistake is told twice:\n%s", got.err)
	}
}

func TestSurfaceShowsWhatIsOpen(t *testing.T) {
	p := newPlace(t, small)
	got := p.want(exitDone, "/api/products", "check", "--surface", "--json")
	for line := range strings.Lines(got.out) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	if n := strings.Count(got.out, `"method":"POST"`); n != 2 ||
		!strings.Contains(got.out, `"in":["email","password","name"]`) {
		t.Errorf("people sign up and in, and nothing is created by clients here:\n%s", got.out)
	}
}

func TestGeneratedFiles(t *testing.T) {
	p := newPlace(t, small)
	got := p.want(exitDone, `"openapi"`, "gen", "openapi")
	if !json.Valid([]byte(got.out)) {
		t.Error("the OpenAPI document is no JSON")
	}
	p.want(exitDone, "schema.json", "gen", "schema")
	p.want(exitDone, "galley.d.ts", "gen", "ts")
	p.want(exitDone, "app.go", "gen", "go")
	for _, name := range []string{".galley/schema.json", ".galley/galley.d.ts", "app/app.go"} {
		if _, err := os.Stat(filepath.Join(p.dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestDataIsReadAndChangedWithoutAServer(t *testing.T) {
	p := newPlace(t, small)
	p.want(exitDone, "galley why ", "set", "products", "code=a", "price=5", "stock=2")
	p.want(exitDone, "Dry run", "set", "products", "code=b", "price=5", "--dry-run")
	got := p.want(exitDone, `"code":"a"`, "get", "products", "--json", "--fields", "id,code")
	if n := strings.Count(got.out, "\n"); n != 1 {
		t.Fatalf("%d records, want 1: a dry run keeps nothing\n%s", n, got.out)
	}
	var r struct{ ID string }
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatal(err)
	}
	refused := p.want(exitFailed, "Someone else bought", "set", "products/"+r.ID, "stock=-1")
	request := between(refused.err, "galley why ", " --app")
	why := p.want(exitDone, "✗ rule products.check.out_of_stock", "why", request)
	for _, want := range []string{"galley.yaml:22", "record.stock   -1", "409 out_of_stock"} {
		if !strings.Contains(why.out, want) {
			t.Errorf("%q is not in\n%s", want, why.out)
		}
	}
	p.want(exitDone, "record.stock >= 0", "why", "out_of_stock")
	p.want(exitDone, "r.stock > 0", "why", "products.read")
	p.want(exitDone, "products.create", "why", "products/"+r.ID+".stock")
	p.want(exitFailed, "not_found", "get", "products", "0"+strings.Repeat("1", 25), "--as", "anonymous")
	p.want(exitDone, "price    6", "set", "products/"+r.ID, "price=6", "--key", "k")
	p.want(exitDone, "Replayed", "set", "products/"+r.ID, "price=6", "--key", "k")
}

func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	got, _, _ := strings.Cut(rest, to)
	return strings.TrimSpace(got)
}

func TestMissingSecretNeedsADecision(t *testing.T) {
	p := newPlace(t, small+"secrets: [GALLEY_TEST_UNSET]\n")
	p.want(exitDecision, "GALLEY_TEST_UNSET", "serve", "--listen", "127.0.0.1:0")
	p.want(exitDecision, "GALLEY_TEST_UNSET", "dev", "--once")
	p.want(exitDone, "no errors", "check")
}

func TestInterruptedCommandHasItsOwnCode(t *testing.T) {
	p := newPlace(t, small)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := p.with(ctx, "", "get", "products"); got.code != exitSignal {
		t.Errorf("code %d, want %d: %s", got.code, exitSignal, got.err)
	}
}

func TestVersionAndHelp(t *testing.T) {
	p := newPlace(t, small)
	p.want(exitDone, Version, "version")
	p.want(exitDone, `"galley":"`+Version+`"`, "version", "--json")
	p.want(exitDone, "complete", "completion", "bash")
	c := &command{}
	for _, cmd := range c.root().Commands() {
		if cmd.Name() != "help" && cmd.Name() != "completion" && cmd.Name() != "version" &&
			cmd.Name() != "fmt" && cmd.Example == "" {
			t.Errorf("the help of %s has no example", cmd.Name())
		}
	}
}

// soon bounds every wait of these tests.
const soon = time.Minute
