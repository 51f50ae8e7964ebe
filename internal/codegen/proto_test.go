package codegen_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

// protoOf returns the protobuf form of an app whose collection has the given fields.
func protoOf(t *testing.T, fields string, lock []byte) (*codegen.Proto, string) {
	t.Helper()
	text := "app: my_shop\ncollections:\n  orders:\n    fields:\n" + fields +
		"    allow: {read: true}\n"
	return protoFrom(t, text, lock)
}

func protoFrom(t *testing.T, text string, lock []byte) (*codegen.Proto, string) {
	t.Helper()
	sp, findings := appfile.Parse(map[string][]byte{appfile.Name: []byte(text)})
	if spec.Failed(findings) {
		t.Fatal(text, findings)
	}
	p, err := codegen.NewProto(sp, nil, lock)
	if err != nil {
		t.Fatal(err)
	}
	return p, string(p.Files()[p.Path()])
}

// has reports whether a text has each line, and those after a minus not.
func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		line, not := strings.CutPrefix(line, "-")
		if strings.Contains(text, line) == not {
			t.Errorf("%q stands there: %v, in\n%s", line, !not, text)
		}
	}
}

func TestNumbersOfFieldsAreKept(t *testing.T) {
	p, text := protoOf(t, "      name: string\n      status: [paid, shipped]\n      total: money\n", nil)
	has(t, text, "package my_shop.v1;", "string name = 10;", "OrderStatus status = 11;", "int64 total = 12;",
		"ORDER_STATUS_UNSPECIFIED = 0;", "ORDER_STATUS_PAID = 1;", "ORDER_STATUS_SHIPPED = 2;")
	lock := p.Lock()

	// Another order, a new field in between, a word in between.
	p, text = protoOf(t, "      total: money\n      note: text?\n      status: [late, shipped, paid]\n"+
		"      name: string\n", lock)
	has(t, text, "string name = 10;", "OrderStatus status = 11;", "int64 total = 12;",
		"optional string note = 13;", "ORDER_STATUS_PAID = 1;", "ORDER_STATUS_LATE = 3;", "-reserved 1")
	lock = p.Lock()

	// What is gone is reserved, and what comes instead gets another number.
	p, text = protoOf(t, "      name: string\n      status: [shipped]\n      more: int\n", lock)
	has(t, text, "reserved 12, 13;", `reserved "total", "note";`, "int64 more = 14;", "reserved 1, 3;")
	lock = p.Lock()
	has(t, string(lock), "orders.total 12 int64 gone")

	// What comes back has its number again, unless it is another thing on the wire.
	p, text = protoOf(t, "      name: string\n      status: [shipped]\n      more: string\n      total: money\n",
		lock)
	has(t, text, "int64 total = 12;", "string more = 15;", "reserved 13, 14;", `-"more"`)
	lock = p.Lock()

	// A field that is renamed stays the field that it is.
	p, text = protoOf(t, "      name: string\n      status: [shipped]\n      sum: {type: money, was: total}\n",
		lock)
	has(t, text, "int64 sum = 12;")
	again, _ := protoOf(t, "      name: string\n      status: [shipped]\n      sum: {type: money, was: total}\n",
		p.Lock())
	if string(again.Lock()) != string(p.Lock()) {
		t.Errorf("the lock is\n%s, and then\n%s", p.Lock(), again.Lock())
	}
}

func TestACollectionThatIsRenamedKeepsItsNumbers(t *testing.T) {
	p, _ := protoFrom(t, "app: a\ncollections:\n  olds:\n    fields: {x: int, y: \"[p, q]\"}\n    allow: {read: true}\n",
		nil)
	_, text := protoFrom(t, "app: a\ncollections:\n  news_items:\n    was: olds\n    fields: {y: \"[q, p]\", x: int}\n"+
		"    allow: {read: true}\n", p.Lock())
	has(t, text, "int64 x = 10;", "NewsItemY y = 11;", "NEWS_ITEM_Y_P = 1;")
}

func TestALockThatCannotBeReadIsTold(t *testing.T) {
	sp, _ := appfile.Parse(map[string][]byte{appfile.Name: []byte("app: a\n")})
	for _, text := range []string{"orders.name", "orders.name x", "orders.name 0", "name 1",
		"orders.name 1 string much gone", "orders.a 10 string\norders.b 10 string", "<<<<<<< HEAD",
		"orders.name 99999999999"} {
		if _, err := codegen.NewProto(sp, nil, []byte(text)); err == nil ||
			!strings.Contains(err.Error(), codegen.LockFile) {
			t.Errorf("%q is %v", text, err)
		}
	}
}

func TestWhatIsClosedIsNotInTheProto(t *testing.T) {
	_, text := protoFrom(t, `app: a
collections:
  secrets:
    fields: {hidden_word: "[alpha, beta]"}
  things:
    fields:
      name: string
      cost: {type: "[cheap, dear]?", read: false}
      by: secrets?
    allow:
      read: true
actions:
  inside: {input: {deep: string}}
`, nil)
	has(t, text, "-Secret {", "-hidden_word", "-ALPHA", "-cost", "-CHEAP", "-Inside", "-deep", "-Create",
		"-Update", "-Expand", "string name = 10;", "reserved 11;", "optional string by = 12;")
}

func TestNamesThatMeetAreKeptApart(t *testing.T) {
	p, text := protoFrom(t, `app: lives
collections:
  staff:
    fields: {a_1: int, a1: int, expand_it: string}
    allow: {read: true}
  order:
    fields: {x: string}
    allow: {read: true}
  orders:
    fields: {x: string}
    allow: {read: true}
actions:
  get_order: {allow: true}
`, nil)
	has(t, text, "service StaffService {", "message Order {", "message Order2 {", "service OrderService {",
		"int64 a_1 = 10;", "int64 a1_x = 11;")
	compiles(t, p)
}

func TestTheExamplesCompileAndAreClean(t *testing.T) {
	apps, err := filepath.Glob("../../examples/*/galley.yaml")
	if err != nil || len(apps) == 0 {
		t.Fatal(apps, err)
	}
	var all []*codegen.Proto
	for _, name := range apps {
		sp := load(t, filepath.Dir(name))
		lock, err := os.ReadFile(filepath.Join(filepath.Dir(name), codegen.LockFile))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		p, err := codegen.NewProto(sp, nil, lock)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	compiles(t, all...)
}

// compiles has buf compile and judge the files.
func compiles(t *testing.T, all ...*codegen.Proto) {
	t.Helper()
	dir := t.TempDir()
	files(t, dir, all...)
	if out := buf(t, dir, "lint"); out != "" {
		t.Error(out)
	}
}
