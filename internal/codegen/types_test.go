package codegen_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

// load reads an app file that must have no errors.
func load(t *testing.T, dir string) *spec.Spec {
	t.Helper()
	sp, findings := appfile.Load(dir)
	if sp == nil || spec.Failed(findings) {
		t.Fatalf("%s: %v", dir, findings)
	}
	return sp
}

// project writes the generated files of an app and some actions to a folder.
func project(t *testing.T, sp *spec.Spec, actions map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := codegen.TypeScript(sp, func(name string) bool {
		return !slices.Contains([]string{"actions/look", "actions/tick", "routes/articles", "routes/profiles",
			"routes/users", "routes/viewer", "routes/failed"}, name)
	})
	for name, text := range actions {
		if !strings.Contains(name, "/") {
			name = "actions/" + name
		}
		files[name] = []byte(text)
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// afterwards is code of every other kind than actions.
var afterwards = map[string]string{
	"jobs/charge.ts": `import { job, fail } from "galley";

export default job("charge", async (job, { user, amount }) => {
  const payment = await job.step("charge", async ({ key, fetch }) => {
    const res = await fetch("https://api.example.com/pay", {
      method: "POST",
      headers: { Authorization: ` + "`Bearer ${job.secret(\"PAY_KEY\")}`" + `, "Idempotency-Key": key },
      body: new URLSearchParams({ amount: String(amount) }),
    });
    if (res.status === 402) throw fail("card_declined");
    if (!res.ok) throw new Error(` + "`${res.status} ${res.headers.get(\"x\")}`" + `);
    return (await res.json()) as { id: string };
  });
  job.progress(1, 2);
  await job.sleep("a while", "3d");
  const event = await job.wait("webhook:pay", { timeout: "1h" });
  const wallet: number = await job.transaction("credit", async (tx) => {
    const { wallet } = await tx.db.users.get(user);
    tx.log("credited", { payment: payment.id, event });
    return (await tx.db.users.update(user, { wallet: wallet + amount })).wallet;
  });
  job.log("done", { wallet, at: job.now, attempt: job.attempt });
});
`,
	"jobs/greet.ts": `import { job } from "galley";
export default job("greet", (job, user) => { job.log(user.name); });
`,
	"jobs/tidy.ts": `import { job } from "galley";
export default job("tidy", () => {});
`,
	"hooks/users.ts": `import { hook } from "galley";

export default hook("users", {
  async create(tx, user) {
    const { id } = await tx.jobs.charge({ user: user.id, amount: 5 });
    tx.jobs.greet(user);
    tx.jobs.tidy();
    tx.email.welcome({ to: user, record: user, data: { id } });
    tx.email.welcome();
    tx.publish(` + "`user/${user.id}`" + `, { hello: user.name });
    tx.publish("lobby", null);
  },
  update(tx, user, before) { if (user.wallet < before.wallet) tx.log("less"); },
});
`,
	"webhooks/pay.ts": `import { webhook } from "galley";

export default webhook("pay", (tx, event) => {
  tx.db.users.update(event.body.user, { wallet: event.body.amount });
  tx.log(event.id, { raw: event.raw, type: event.headers["content-type"] });
});
`,
	"routes/feed.ts": `import { route } from "galley";

export default route("feed", (tx, { params, input }) => {
  const n: number = input.n ?? 1;
  return { status: 201, headers: { "x-n": n, "set-cookie": ["a=1", "b=2"] }, body: params.name };
});
`,
}

const afterApp = `app: after
secrets: [PAY_KEY]
collections:
  users:
    fields: {name: string, wallet: {type: money, default: 0}}
    hooks: [create, update]
jobs:
  charge: {input: {user: users, amount: money}}
  greet: {on: users.created}
  tidy: {}
emails:
  welcome: {to: users}
webhooks:
  pay: {verify: stripe, secret: PAY_KEY, id: body.id}
channels:
  user/{user:users}: {join: user == auth}
  lobby: {join: true}
routes:
  feed: {path: "GET /feed/{name}", allow: true, input: {n: int?}}
errors:
  card_declined: The card was declined.
`

func TestTypesOfWhatFollows(t *testing.T) {
	sp, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(afterApp),
		"emails/welcome.html": []byte("Subject: Welcome\n")})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	dir := project(t, sp, afterwards)
	if out, err := tool(t, dir, "tsc", "-p", "."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wrong := map[string]string{
		"jobs/charge.ts": `import { job } from "galley";
export default job("charge", async (job, input) => { await job.transaction("t", (tx) => tx.fetch("x")); });
`,
		"hooks/users.ts": `import { hook } from "galley";
export default hook("users", { create(tx) { tx.jobs.charge({ user: "x", amount: 5 }) }, update() {} });
`,
		"routes/feed.ts": `import { route } from "galley";
export default route("feed", (tx, request) => "text");
`,
		"webhooks/pay.ts": `import { webhook } from "galley";
export default webhook("pay", (tx) => { tx.publish("loby", 1); });
`,
	}
	for name, text := range wrong {
		out, err := tool(t, project(t, sp, map[string]string{name: text}), "tsc", "-p", ".")
		if err == nil || !strings.Contains(string(out), name) {
			t.Errorf("%s was let through: %s", name, out)
		}
	}
}

// right uses everything as it is meant to be used.
const right = `import { action, refuse, cel, add, append, remove, max, min, type Id, type Tx, type Box } from "galley";

function helper(tx: Tx, id: Id<"boxes">): Box { return tx.db.boxes.get(id); }

export default action("fill", async (tx, input) => {
  const until: Date | null | undefined = input.until;
  const kind: "small" | "large" = input.kind;
  let total = 0;
  const made: Id<"boxes">[] = [];
  for (const { box, count, note } of input.lines) {
    const old = await tx.db.boxes.get(box);
    if (!old.open) throw refuse("box_closed", { box: old.id, count });
    helper(tx, box);
    tx.db.boxes.update(old, { count: old.count + count, about: note ?? null });
    tx.db.boxes.update(box, { count: add(1), price: max(5), share: min(0.5), tags: append("x") });
    tx.db.boxes.update(box, { tags: remove("x"), friends: append(tx.auth.id), at: tx.now, day: "2026-11-21" });
    total += old.price;
  }
  const one = tx.db.boxes.insert({ count: 1, open: true, kind, friends: [], data: { a: [1, null] }, span: 5000 });
  made.push(one.id);
  const first = await tx.db.boxes.first({ label: "x", owner: tx.auth.id, parent: null });
  const many = tx.db.boxes.list({ where: cel` + "`count < ${total} && at > ${tx.now}`" + `, sort: "-count", limit: 20 });
  const n: number = tx.db.boxes.count({ kind: "small" }) + tx.db.users.count();
  tx.db.boxes.delete(first ?? one);
  for (const b of many) tx.db.boxes.delete(b.id);
  console.log("done", n, tx.random(), structuredClone({ until }));
  tx.log("done", { n, made });
  if (n > 5) throw refuse("too_many");
  if (n > 6) throw refuse("not_found");
  return { boxes: made, total };
});
`

func TestTypesHoldWhatIsRight(t *testing.T) {
	dir := project(t, load(t, "testdata/everything"), map[string]string{
		"fill.ts": right,
		"look.ts": `import { action } from "galley";
export default action("look", (tx) => ({ count: tx.auth ? tx.db.boxes.count({ owner: tx.auth.id }) : 0 }));
`,
		"tick.ts": `import { action } from "galley";
export default action("tick", (tx, input) => { tx.log("tick", { input }); });
`})
	if out, err := tool(t, dir, "tsc", "-p", "."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTypesRefuseWhatIsWrong checks all mistakes in one run of the compiler: each is
// on a line of its own, and each line must be an error.
func TestTypesRefuseWhatIsWrong(t *testing.T) {
	mistakes := []string{
		`tx.db.boxs.count()`,
		`tx.db.boxes.get(tx.auth.id)`,
		`tx.db.boxes.get("x")`,
		`tx.db.boxes.get(one.id).cuont`,
		`one.count = 5`,
		`tx.db.boxes.insert({ count: 1, open: true, kind: "small" })`,
		`tx.db.boxes.insert({ count: 1, open: true, kind: "huge", friends: [] })`,
		`tx.db.boxes.insert({ count: 1, open: true, kind: "small", friends: [], version: 3 })`,
		`tx.db.boxes.insert({ count: "1", open: true, kind: "small", friends: [] })`,
		`tx.db.boxes.update(one, { coutn: 1 })`,
		`tx.db.boxes.update(one, { label: add(1) })`,
		`tx.db.boxes.update(one, { count: append(1) })`,
		`tx.db.boxes.update(one, { tags: append(1) })`,
		`tx.db.boxes.update(one, { at: "2026-11-21" })`,
		`tx.db.boxes.update(tx.auth, { count: 1 })`,
		`tx.db.boxes.update(one, { count: null })`,
		`tx.db.boxes.first({ lable: "x" })`,
		`tx.db.boxes.list({ limit: "5" })`,
		`tx.db.boxes.list({ wehre: {} })`,
		`throw refuse("box_close")`,
		`input.lines[0].box = one.id`,
		`input.lnies`,
		`tx.now = new Date()`,
		`tx.db = null`,
		`fetch("https://x")`,
		`setTimeout(() => {}, 1)`,
		`process.exit()`,
		`require("fs")`,
		`document.title`,
	}
	var b strings.Builder
	b.WriteString("import { action, refuse, add, append } from \"galley\";\n" +
		"export default action(\"fill\", (tx, input) => {\n  const one = tx.db.boxes.get(input.lines[0].box);\n")
	for _, m := range mistakes {
		b.WriteString("  if (one.open) { " + m + " }\n")
	}
	b.WriteString("  return { boxes: [], total: 1 };\n});\n")
	dir := project(t, load(t, "testdata/everything"), map[string]string{
		"fill.ts": b.String(),
		"a.ts":    "import { action } from \"galley\";\nexport default action(\"fil\", () => ({ boxes: [], total: 1 }));\n",
		"b.ts":    "import { action } from \"galley\";\nexport default action(\"fill\", () => ({ boxes: [] }));\n",
		"c.ts":    "import { action } from \"galley\";\nexport default action(\"look\", (tx) => ({ count: tx.auth.id }));\n",
		"d.ts":    "import { action } from \"galley\";\nexport default action(\"look\", async (tx) => ({ count: \"x\" }));\n",
		"e.ts":    "import { action } from \"galley/test\";\nexport default action;\n",
	})
	out, err := tool(t, dir, "tsc", "-p", ".", "--pretty", "false")
	if err == nil {
		t.Fatal("the compiler found nothing")
	}
	for i, m := range mistakes {
		if !strings.Contains(out, "fill.ts("+strconv.Itoa(i+4)+",") {
			t.Errorf("it is no error to write %s", m)
		}
	}
	for _, name := range []string{"a.ts(2,", "b.ts(2,", "c.ts(2,", "d.ts(2,", "e.ts(1,"} {
		if !strings.Contains(out, name) {
			t.Errorf("%s: no error", name)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestGoCompiles compiles the generated packages and a program that uses them.
func TestGoCompiles(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(root, ".gen")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, from := range map[string]string{"everything": "testdata/everything", "shop": "../../examples/shop"} {
		text, err := codegen.Go(load(t, from), "app")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		write(t, filepath.Join(dir, name, "app", "app.go"), string(text))
	}
	write(t, filepath.Join(dir, "shop", "main.go"), strings.ReplaceAll(shopMain, "DIR", filepath.Base(dir)))
	cmd := exec.CommandContext(t.Context(), "go", "vet", "./"+filepath.Base(dir)+"/everything/app",
		"./"+filepath.Base(dir)+"/shop", "./"+filepath.Base(dir)+"/shop/app")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const shopMain = `package main

import (
	"github.com/galleybackend/galley"
	"github.com/galleybackend/galley/DIR/shop/app"
)

func main() {
	g := galley.New(nil)
	galley.Action(g, "checkout", checkout)
	g.Main()
}

func checkout(tx *galley.Tx, in app.CheckoutInput) (out app.CheckoutOutput, err error) {
	db := app.DB(tx)
	order := app.Order{Customer: app.Me(tx).ID}
	var lines []app.OrderItem
	for _, item := range in.Items {
		p, err := db.Products.Get(item.Product)
		if err != nil {
			return out, err
		}
		if !p.Listed {
			return out, galley.Refuse(app.NotFound, "product", p.ID)
		}
		p.Stock -= item.Quantity
		if _, err := db.Products.Update(p); err != nil {
			return out, err
		}
		order.Total += p.Price * item.Quantity
		lines = append(lines, app.OrderItem{Product: p.ID, Quantity: item.Quantity, Price: p.Price})
	}
	me := app.Me(tx)
	me.Wallet -= order.Total
	if me, err = db.Users.Update(me); err != nil {
		return out, err
	}
	if order, err = db.Orders.Insert(order); err != nil {
		return out, err
	}
	for _, l := range lines {
		l.Order = order.ID
		if _, err := db.OrderItems.Insert(l); err != nil {
			return out, err
		}
	}
	return app.CheckoutOutput{Order: order.ID, Balance: me.Wallet}, nil
}
`
