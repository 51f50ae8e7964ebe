package codegen_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/sdk"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

// page is a folder in which pages of an app are written: with the package and the generated
// module beside it, or with /galley.js and what lies in .galley.
func page(t *testing.T, sp *spec.Spec, pages map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"node_modules/@galley/client/galley.d.ts":  string(sdk.Types()),
		"node_modules/@galley/client/package.json": `{"name": "@galley/client", "type": "module", "exports": {".": {"types": "./galley.d.ts"}}}`,
		"shop.ts":             string(codegen.Client(sp)),
		".galley/client.d.ts": string(codegen.TypeScript(sp, nil)[".galley/client.d.ts"]),
		"tsconfig.json": `{"compilerOptions": {"strict": true, "noEmit": true, "target": "ES2022",
			"lib": ["ES2022", "DOM", "DOM.Iterable"], "types": [], "module": "ESNext",
			"moduleResolution": "bundler", "noUncheckedIndexedAccess": true,
			"paths": {"/galley.js": ["./.galley/client.d.ts"]}}, "include": ["*.ts", ".galley/*.d.ts"]}`,
	}
	for name, text := range pages {
		files[name] = text
	}
	for name, text := range files {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), text)
	}
	return dir
}

// use is a page of the shop as its developer would write it.
const use = `
const api = galley();
await api.auth.signIn({ email: "ana@example.com", password: "correct horse battery" });
await api.auth.signUp({ email: "ana@example.com", password: "x", name: "Ana" });
const me: SignedIn | null = api.auth.user;

const max = 5000;
const { items, next } = await api.products.list({ filter: cel` + "`price <= ${max} && stock > 0`" + `, sort: "-created", limit: 20 });
const price: number | undefined = items[0]?.price;
const orders = api.orders.live({ sort: "-created", expand: ["customer"] });
const stop: () => void = orders.subscribe((list) => list.forEach((o) => console.log(o.status, o.expand.customer.name)));
const one = await api.order_items.get(items[0]!.id as unknown as Id<"order_items">, { expand: ["order.customer", "product"] });
const names: string[] = [one.expand.order.expand.customer.name, one.expand.product.name];
for await (const p of api.products.all({ filter: cel` + "`listed`" + ` })) console.log(p.name);

try {
  const { order, balance } = await api.actions.checkout({ items: [{ product: items[0]!.id, quantity: 1 }] });
  const n: number = balance;
  console.log(n, order.length);
  await api.actions.checkout({ items: [] }, { key: "k", offline: true, optimistic: (local) => local.users.update(me!.id, { wallet: { $add: -5 } }) });
} catch (e) {
  if (e instanceof Problem && e.code === "insufficient_funds") console.log(e.message, e.data["needed"]);
  else throw e;
}
const changed = await api.users.update(api.auth.user!.id, { name: "Ana" }, { version: 3 });
const version: number = changed.version;
const [user, output] = await api.batch([{ update: "users", id: changed.id, values: { name: "B" } }, { action: "checkout", input: { items: [] } }]);
const both: [string, number] = [user.name, output.balance];
api.outbox.onRefused((problem, change) => console.log(problem.code === "offline", change.kind === "update", change.id));
api.channel("room/1", { state: {} }).on("message", (m, from) => console.log(m, from.who)).send("x").leave();
const up: () => void = api.line.subscribe((state: "live" | "offline") => console.log(state));
const mine: readonly unknown[] = api.channel("room/1").present.filter((p) => p.self).map((p) => p.state);
console.log(up, mine, api.line.state === "offline", next, price, stop, version, both, names, api.outbox.pending.length, orders.state === "offline");
export {};
`

func TestClientKnowsWhatTheAppOpens(t *testing.T) {
	sp := load(t, "../../examples/shop")
	mistakes := []string{
		`api.users.update(id, { wallet: 1_000_000 })`,
		`api.products.create({ name: "x" })`,
		`api.products.delete(product)`,
		`api.order_items.create({})`,
		`api.orders.live({ expand: ["customre"] })`,
		`api.orders.live({}).items[0]!.expand.customer`,
		`api.order_items.live({ expand: ["order"] }).items[0]!.expand.order.expand`,
		`api.users.get(product)`,
		`api.users.get("x")`,
		`e.code === "insuficient_funds"`,
		`api.products.list({ filter: "price < 5" })`,
		`api.products.list({ limt: 5 })`,
		"cel`a == ${undefined}`",
		"cel`a == ${{}}`",
		`api.actions.chekout({ items: [] })`,
		`api.actions.checkout({ items: [{ product: id, quantity: 1 }] })`,
		`api.actions.checkout({ itmes: [] })`,
		`api.users.update(id, { name: { $add: 1 } })`,
		`api.batch([{ create: "products", values: {} }])`,
		`api.batch([{ update: "users", id, values: { wallet: 5 } }])`,
		`api.galaxies.list()`,
		`api.upload("x")`,
		`api.auth.user.id`,
		`api.auth.signUp({ email: "x", password: "y", wallet: 5 })`,
		`api.outbox.pending.push(null)`,
		`live.items.push(live.items[0]!)`,
		`live.state === "gone"`,
		`live.items[0]!.price = 5`,
		`api.channel("x").on("mesage", () => {})`,
		`api.line.state = "live"`,
	}
	var b strings.Builder
	b.WriteString("import { galley, cel, Problem, type Id } from \"@galley/client\"; import \"./shop\";\n" +
		"const api = galley(); declare const id: Id<\"users\">, product: Id<\"products\">, e: Problem;\n" +
		"const live = api.products.live();\n")
	for _, m := range mistakes {
		b.WriteString("{ " + m + " }\n")
	}
	dir := page(t, sp, map[string]string{
		"npm.ts":    `import { galley, cel, Problem, type Id, type SignedIn } from "@galley/client"; import "./shop";` + use,
		"served.ts": `import { galley, cel, Problem, type Id, type SignedIn } from "/galley.js";` + use,
		"wrong.ts":  b.String(),
	})
	out, err := tool(t, dir, "tsc", "-p", ".", "--pretty", "false")
	if err == nil {
		t.Fatal("the compiler found nothing")
	}
	for i, m := range mistakes {
		if !strings.Contains(out, "wrong.ts("+strconv.Itoa(i+4)+",") {
			t.Errorf("it is no error to write %s", m)
		}
	}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "wrong.ts(") && !strings.HasPrefix(line, " ") {
			t.Errorf("the compiler refuses what is right: %s", line)
		}
	}
	for _, says := range []string{"'wallet' does not exist in type 'ChangeUser'",
		"Property 'create' does not exist", "have no overlap"} {
		if !strings.Contains(out, says) {
			t.Errorf("the compiler does not say %s\n%s", says, out)
		}
	}
}

// TestClientWithoutTypesTakesAnything is for pages of an app whose types nobody generated.
func TestClientWithoutTypesTakesAnything(t *testing.T) {
	dir := page(t, load(t, "testdata/everything"), map[string]string{"loose.ts": `
import { galley, cel } from "@galley/client";
const api = galley({ url: "https://x.example" });
const { items } = await api.anything.list({ filter: cel` + "`a == ${1}`" + `, expand: ["b.c"] });
console.log(items[0].name, items[0].expand.b, (await api.anything.create({ x: 1 })).id);
await api.anything.update("id", { x: 2 });
await api.actions.whatever({ y: 1 });
await api.proxy.rates("x", { to: "DE" });
const live = api.anything.live({ sort: "x" });
live.subscribe((all: any[]) => console.log(all.length));
export {};
`})
	if err := os.Remove(filepath.Join(dir, "shop.ts")); err != nil {
		t.Fatal(err)
	}
	if out, err := tool(t, dir, "tsc", "-p", ".", "--pretty", "false"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestClientHoldsEveryType checks what is generated of each kind of field, of secret fields, of
// views, proxies and lists of objects, and that a collection may have any name.
func TestClientHoldsEveryType(t *testing.T) {
	sp, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(`app: all
secrets: [KEY]
collections:
  users:
    fields: {name: string, pin: {type: string, read: false}, seen: {type: time?, read: record == auth}}
    allow: {read: true}
  # Named like something of the client's.
  channels2:
    fields: {name: string}
  pages:
    fields:
      at: time
      day: date?
      span: duration
      share: float
      tags: "string[]"
      kind: [a, b]
      lines: [{user: users, n: int?}]
      friends: users[]
      next: pages?
      data: json
      made: {type: int, default: 5}
    allow: {read: true, create: {if: true, fields: [at, day, span, share, tags, kind, lines, friends, next, data, made]},
      update: {if: true, fields: [share, tags, kind, at]}}
views:
  totals: {from: pages, group: [kind], fields: {n: count()}, allow: true}
proxies:
  rates: {url: "https://rates.example", routes: [GET /x], allow: true}
`)})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	body := `
const api = galley();
const p = (await api.pages.list({ expand: ["lines.user", "friends", "next.friends"] })).items[0]!;
const texts: string[] = [p.at, p.span, ...p.tags, p.kind, p.expand.lines[0]!.user.name, p.expand.friends[0]!.name];
const maybe: string | null = p.day;
const deep: string | undefined = p.expand.next?.expand.friends[0]?.name;
const gone: string | null | undefined = (await api.users.get(p.friends[0]!)).seen;
const n: number | null | undefined = p.lines[0]!.n;
await api.pages.create({ at: new Date(), span: "5s", share: 1, tags: [], kind: "a", lines: [{ user: p.friends[0]! }], friends: [], data: { a: [1] } });
await api.pages.update(p.id, { share: { $add: 0.5 }, tags: { $append: "x" }, kind: "b", at: p.at });
const kind: "a" | "b" = (await api.totals.list()).items[0]!.kind;
const counts: readonly { kind: "a" | "b" }[] = api.totals.live().items;
const code = api.proxy.rates("x");
// @ts-expect-error nobody reads it
(await api.users.get(p.friends[0]!)).pin;
// @ts-expect-error no rule opens it
api.channels2;
// @ts-expect-error an enum
await api.pages.update(p.id, { kind: "c" });
// @ts-expect-error a view is only read
api.totals.create({});
console.log(counts, texts, maybe, deep, gone, n, kind, code);
export {};
`
	dir := page(t, sp, map[string]string{
		"npm.ts":    `import { galley } from "@galley/client"; import "./shop";` + body,
		"served.ts": `import { galley } from "/galley.js";` + body,
	})
	if out, err := tool(t, dir, "tsc", "-p", ".", "--pretty", "false"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAnyNameMayBeTaken makes an app of names that mean something elsewhere: a collection for
// each type that the generated files speak of, and fields, actions and words of enums that are
// words of TypeScript or properties of every object.
func TestAnyNameMayBeTaken(t *testing.T) {
	words := strings.Fields("constructor class default delete enum export extends get set new static " +
		"readonly type typeof with yield async await this super switch case try throw do any never " +
		"symbol undefined arguments prototype has_own_property value_of create update list live record expand")
	var b strings.Builder
	b.WriteString("app: names\ncollections:\n  users:\n    fields: {name: string}\n    allow: {read: true}\n")
	taken := map[string]bool{"users": true}
	collection := func(name string, fields ...string) {
		if taken[name] || strings.Contains(" in map list type actions channels jobs hooks events ", " "+name+" ") {
			return
		}
		taken[name] = true
		b.WriteString("  " + name + ":\n    fields:\n      text: string\n")
		for _, f := range fields {
			b.WriteString("      " + f + ": \"[" + strings.Join(words, ", ") + "]?\"\n")
		}
		b.WriteString("    allow: {read: true, create: {if: true, fields: [text]}, update: {if: true, fields: [text]}}\n")
	}
	collection("new_users")
	collection("change_users")
	for _, w := range []string{"constructor", "class", "default", "delete", "export", "prototype", "galley"} {
		collection(w, "class", "default", "delete", "get", "set", "new", "readonly", "static", "await")
	}
	texts := string(sdk.Types()) + string(codegen.TypeScript(load(t, "testdata/everything"), nil)[".galley/galley.d.ts"])
	for _, name := range regexp.MustCompile(`\b[A-Z][A-Za-z]+\b`).FindAllString(texts, -1) {
		snake := strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "${1}_${2}"))
		if !strings.HasSuffix(snake, "s") {
			snake += "s"
		}
		if len(snake) < 30 && len(taken) < 180 {
			collection(snake)
		}
	}
	b.WriteString("actions:\n")
	for _, w := range words {
		b.WriteString("  " + w + ":\n    allow: true\n    input: {" + w + ": string}\n    output: {" + w + ": string}\n")
	}
	sp, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(b.String())})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	body := `
const api = galley();
const one = (await api.constructor.list()).items[0]!;
const word: "prototype" | null | "class" = one.static === "class" ? one.static : null;
const text: string = (await api.default.create({ text: "x" })).text;
const { readonly } = await api.actions.readonly({ readonly: "x" });
const { constructor } = await api.actions.constructor({ constructor: "x" });
console.log(word, text, readonly, constructor, (await api.new_users.list()).items[0]!.text);
// @ts-expect-error nothing has it
api.then;
// @ts-expect-error nor this
api.actions.then;
export {};
`
	dir := page(t, sp, map[string]string{
		"npm.ts":    `import { galley } from "@galley/client"; import "./shop";` + body,
		"served.ts": `import { galley } from "/galley.js";` + body,
	})
	if out, err := tool(t, dir, "tsc", "-p", ".", "--pretty", "false"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	code := map[string]string{"constructor.ts": `import { action } from "galley";
export default action("constructor", (tx, { constructor }) => {
  const { text } = tx.db.constructor.insert({ text: constructor, class: "prototype" });
  return { constructor: text };
});
`, "tests/names.ts": `import { test } from "galley/test";
test("names", async (t) => {
  const { readonly } = await (await t.user()).actions.readonly({ readonly: "x" });
  return void readonly;
});
`}
	dir = project(t, sp, code)
	if out, err := tool(t, dir, "tsc", "-p", "."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
