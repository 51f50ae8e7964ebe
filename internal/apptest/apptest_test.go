package apptest_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/galleybackend/galley/internal/apptest"
	"github.com/galleybackend/galley/internal/serve"
)

// app has one of everything that tests have a hand in.
var app = map[string]string{
	"galley.yaml": `app: parcels
secrets: [HOOK_KEY]
collections:
  users:
    fields:
      name: string?
    allow:
      read: record == auth
  parcels:
    fields:
      code:  {type: string, unique: true}
      owner: {type: users?, set: auth}
      state: {type: [packed, sent, lost], default: packed}
      due:   time?
    allow:
      read:   record.owner == auth
      create: {if: auth != null, fields: [code]}
actions:
  send: {allow: auth != null, input: {parcel: parcels}}
  far:  {allow: true, read_only: true, input: {n: {type: int, default: 1}}, output: {twice: int}}
jobs:
  carry: {input: {parcel: parcels}, retry: 2}
  count: {cron: 0 6 * * *}
emails:
  packed: {on: parcels.created, to: "'store@example.com'"}
  weekly: {cron: 0 7 * * MON, to: "users.filter(u, u.verified)", every: 6d}
webhooks:
  courier: {verify: hmac-sha256, header: X-Signature, secret: HOOK_KEY, id: body.id}
routes:
  label: {path: "GET /labels/{code}", allow: true}
errors:
  gone: It is gone.
`,
	"actions/send.ts": `import { action } from "galley";
export default action("send", (tx, { parcel }) => { tx.jobs.carry({ parcel }); });
`,
	"actions/far.ts": `import { action } from "galley";
export default action("far", (tx, { n }) => ({ twice: 2 * n }));
`,
	"jobs/carry.ts": `import { job } from "galley";
export default job("carry", async (job, { parcel }) => {
  await job.sleep("rest", "3d");
  await job.step("call", async ({ fetch }) => {
    const answer = await fetch("https://courier.example/parcels", { method: "POST", body: parcel });
    if (!answer.ok) throw new Error("the courier answered " + answer.status);
  });
  await job.transaction("note", (tx) => { tx.db.parcels.update(parcel, { state: "sent" }); });
});
`,
	"jobs/count.ts": `import { job } from "galley";
export default job("count", async (job) => {
  await job.transaction("count", (tx) => {
    tx.db.parcels.insert({ code: "counted at " + tx.now.toISOString() });
  });
});
`,
	"webhooks/courier.ts": `import { webhook } from "galley";
export default webhook("courier", (tx, event) => {
  const parcel = tx.db.parcels.first({ code: event.body.code });
  if (parcel) tx.db.parcels.update(parcel, { state: "lost" });
});
`,
	"routes/label.ts": `import { route } from "galley";
export default route("label", (tx, { params, headers }) => ({
  status: params.code === "none" ? 410 : 200,
  headers: { "content-type": "text/plain" }, body: params.code + " " + (headers["x-paper"] ?? "A4"),
}));
`,
	"emails/packed.html": "Subject: Packed {{.record.code}}\n<p><a href=\"{{link \"/\"}}\">Look</a></p>\n",
	"emails/weekly.html": "Subject: Weekly\n<p><a href=\"{{link \"/week\"}}\">Look</a> " +
		"<a href=\"{{.unsubscribe}}\">No more</a></p>\n",
}

const head = "import { test, expect, Problem } from \"galley/test\";\n"

// run runs a file of tests in the app, and returns what became of each.
func run(t *testing.T, text string, change ...func(*apptest.Config)) (map[string]apptest.Result, apptest.Summary) {
	t.Helper()
	files := fstest.MapFS{"tests/own.test.ts": {Data: []byte(head + text)}}
	for name, content := range app {
		files[name] = &fstest.MapFile{Data: []byte(content)}
	}
	results := map[string]apptest.Result{}
	c := apptest.Config{Config: serve.Config{Files: files},
		Done: func(r apptest.Result) { results[r.Test] = r }}
	for _, fn := range change {
		fn(&c)
	}
	sum, err := apptest.Run(t.Context(), c)
	if err != nil {
		var wrong *serve.AppError
		if errors.As(err, &wrong) {
			t.Fatalf("%v", wrong.Findings)
		}
		t.Fatal(err)
	}
	return results, sum
}

// hold runs tests that must all hold.
func hold(t *testing.T, text string) {
	t.Helper()
	results, sum := run(t, text)
	for name, r := range results {
		if !r.OK {
			t.Errorf("%s: line %d: %s %v", name, r.At.Line, r.Why, r.Said)
		}
	}
	if sum.Passed == 0 {
		t.Error("nothing was tested")
	}
}

func TestAFailureTellsWhyAndWhere(t *testing.T) {
	cases := map[string]struct {
		body string
		line int
		why  string
	}{
		"a value":              {"  expect(1 + 1).toBe(3);", 1, "expected 2 to be 3"},
		"not":                  {"\n  expect([1]).not.toEqual([1]);", 2, "expected [1] not to equal [1]"},
		"after waiting":        {"  await t.settle();\n  expect(null).toBeTruthy();", 2, "expected null to be true"},
		"what is thrown":       {"  await t.settle();\n\n  throw new Error(\"no\");", 3, "no"},
		"no error of ours":     {"  await t.settle();\n  (null as any).x;", 2, "TypeError"},
		"a refusal":            {"  const u = await t.user();\n  await u.parcels.get(\"nothing\");", 2, "There is nothing here"},
		"a refusal, in admin":  {"\n  await t.db.parcels.get(\"nothing\");", 2, "There is nothing here"},
		"not refused":          {"\n  await expect(t.settle()).rejects.toThrow(\"gone\");", 2, "expected a refusal"},
		"refused in other way": {"\n  await expect(t.db.parcels.get(\"x\")).rejects.toThrow(\"gone\");", 2, "not_found"},
		"not a host":           {"\n  t.host(\"courier\", {});", 2, "is no host"},
		"not a time":           {"\n  await t.advance(\"soon\");", 2, "write 90s, 2h or 14d"},
		"no such webhook":      {"\n  await t.webhook(\"nobody\" as any, {});", 2, "no webhook"},
	}
	text, lines := "", map[string]int{}
	for name, c := range cases {
		lines[name] = 1 + strings.Count(head+text, "\n") + c.line
		text += fmt.Sprintf("test(%q, async (t) => {\n%s\n});\n", name, c.body)
	}
	results, sum := run(t, text)
	if sum.Passed > 0 || sum.Failed != len(cases) {
		t.Errorf("got %+v", sum)
	}
	for name, c := range cases {
		r := results[name]
		if r.OK || r.At.File != "tests/own.test.ts" || r.At.Line != lines[name] {
			t.Errorf("%s: it is at %s:%d, want line %d: %s", name, r.At.File, r.At.Line, lines[name], r.Why)
		}
		if !strings.Contains(r.Why, c.why) {
			t.Errorf("%s: why is %q, want %q", name, r.Why, c.why)
		}
	}
}

func TestATestThatDoesNotEndIsEnded(t *testing.T) {
	results, _ := run(t, `
test("loops", () => { for (;;); });
test("loops later", async (t) => {
  await t.settle();
  for (;;);
});
test("hangs", () => new Promise<void>(() => {}));
test("waits for a host that never answers", async (t) => {
  t.host("https://courier.example", () => new Promise(() => {}));
  const u = await t.user();
  await u.actions.send({ parcel: (await u.parcels.create({ code: "a" })).id });
  await t.advance("4d");
});
test("is well", async (t) => { expect(await t.db.users.count()).toBe(0); });
`, func(c *apptest.Config) { c.Time = time.Second })
	for name, r := range results {
		if ended := strings.Contains(r.Why, "too long") || strings.Contains(r.Why, "a test has 1s"); !r.OK != ended {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if !results["is well"].OK {
		t.Errorf("the next test suffers: %+v", results["is well"])
	}
	if at := results["loops"].At.Line; at != 3 {
		t.Errorf("the loop is at line %d, want 3", at)
	}
}

func TestEachTestHasTheAppForItself(t *testing.T) {
	hold(t, `
for (const name of ["one", "two"]) {
  test(name, async (t) => {
    expect(await t.db.parcels.count()).toBe(0);
    expect(t.now.toISOString()).toBe("2026-01-05T09:00:00.000Z");
    await t.user({ email: "ana@example.com" });
    await t.db.parcels.insert({ code: "same" });
    await t.advance("1d");
    expect(t.now.toISOString()).toBe("2026-01-06T09:00:00.000Z");
    expect((await t.mail.list()).filter((m) => m.subject === "Packed same")).toHaveLength(1);
  });
}
`)
}

func TestPeopleSeeWhatTheRulesGive(t *testing.T) {
	hold(t, `
test("rules", async (t) => {
  const [ana, bo] = [await t.user(), await t.user()];
  const parcel = await ana.parcels.create({ code: "a" });
  expect(parcel).toMatchObject({ owner: ana.id, state: "packed" });
  await expect(bo.parcels.get(parcel.id)).rejects.toThrow("not_found");
  await expect(t.visitor.parcels.create({ code: "b" })).rejects.toMatchObject({ status: 401, code: "unauthenticated" });
  await expect(ana.request("POST", "/api/parcels", { code: "c", state: "sent" })).rejects.toThrow("invalid_input");
  expect((await ana.parcels.list({ where: { code: "a" } })).items).toHaveLength(1);
  expect(await t.db.parcels.list({ sort: "-code" })).toHaveLength(1);
  expect((await t.db.parcels.get(parcel.id)).created).toBeInstanceOf(Date);
});
test("together", async (t) => {
  const ana = await t.user();
  const got = await t.together(ana.parcels.create({ code: "a" }), ana.parcels.create({ code: "a" }));
  expect(got.filter((r) => r instanceof Problem)).toMatchObject([{ code: "already_exists" }]);
});
test("keys", async (t) => {
  const ana = await t.user();
  const twice = () => ana.request("POST", "/api/parcels", { code: "a" }, { key: "same" });
  expect((await twice()).id).toBe((await twice()).id);
});
test("defaults", async (t) => {
  expect(await t.visitor.actions.far({ n: 4 })).toEqual({ twice: 8 });
  expect(await t.visitor.actions.far()).toEqual({ twice: 2 });
});
test("routes, in text and with headers", async (t) => {
  const ana = await t.user();
  expect(await t.request("GET", "/labels/a")).toBe("a A4");
  expect(await ana.request("GET", "/labels/a", undefined, { headers: { "X-Paper": "A5" } })).toBe("a A5");
  await expect(t.request("GET", "/labels/none")).rejects.toMatchObject({ status: 410, body: "none A4" });
});
`)
}

func TestTimeStartsWhatIsDue(t *testing.T) {
	hold(t, `
test("a job sleeps, is tried again, and notes what it did once", async (t) => {
  const asked: string[] = [];
  t.host("https://courier.example", (request) => {
    asked.push(request.method + " " + request.url + " " + request.body);
    return { status: asked.length < 3 ? 503 : 200, json: {} };
  });
  const ana = await t.user();
  const { id } = await ana.parcels.create({ code: "a" });
  await ana.actions.send({ parcel: id });
  await t.advance("2d");
  expect(asked).toEqual([]);
  await t.advance("1d");
  expect(asked).toEqual(["POST https://courier.example/parcels " + id]);
  await t.advance("1h");
  await t.advance("1h");
  expect(asked).toHaveLength(3);
  expect((await t.db.parcels.get(id)).state).toBe("sent");
  await t.advance("1d");
  expect(asked).toHaveLength(3);
});
test("what cron starts", async (t) => {
  await t.advance("20h");
  expect(await t.db.parcels.count()).toBe(0);
  await t.advance("1h");
  expect(await t.db.parcels.list()).toMatchObject([{ code: "counted at 2026-01-06T06:00:00.000Z" }]);
  await t.settle();
  expect(await t.db.parcels.count()).toBe(1);
});
test("one leap makes up for several times by one", async (t) => {
  await t.advance("10d");
  expect(await t.db.parcels.count()).toBe(1);
});
`)
}

func TestNoHostIsReachedButThoseThatATestPlays(t *testing.T) {
	results, _ := run(t, `
test("it", async (t) => {
  t.host("https://other.example", "well");
  const ana = await t.user();
  const { id } = await ana.parcels.create({ code: "a" });
  await ana.actions.send({ parcel: id });
  await t.advance("3d");
  expect((await t.db.parcels.get(id)).state).toBe("sent");
});
`)
	r := results["it"]
	if r.OK {
		t.Fatal("a host that nobody plays was reached")
	}
	if !strings.Contains(r.Why, "https://courier.example was asked") {
		t.Errorf("it does not say which host is missing: %s", r.Why)
	}
	if !strings.Contains(strings.Join(r.Log, "\n"), "a job failed") {
		t.Errorf("what the app told is not there: %q", r.Log)
	}
}

func TestMailsAreReadAndTheirLinksFollowed(t *testing.T) {
	hold(t, `
test("on", async (t) => {
  expect(await t.mail.last()).toBeNull();
  await t.db.parcels.insert({ code: "a & b" });
  await t.settle();
  expect(await t.mail.last("store@example.com")).toMatchObject({ subject: "Packed a & b", links: [/\/$/] });
  expect(await t.mail.list("nobody@example.com")).toEqual([]);
});
test("cron, every, unsubscribe", async (t) => {
  await t.user({ email: "ana@example.com" });
  await t.user({ email: "bo@example.com", verified: false });
  await t.advance("7d");
  const mails = async (to: string) => (await t.mail.list(to)).map((m) => m.subject);
  expect(await mails("ana@example.com")).toEqual(["Weekly"]);
  expect(await mails("bo@example.com")).toEqual([]);
  await t.advance("7d");
  expect(await mails("ana@example.com")).toHaveLength(2);
  const mail = (await t.mail.last("ana@example.com"))!;
  expect(await t.mail.click(mail.links[0]!)).toBe("/week");
  await t.mail.unsubscribe(mail);
  await t.advance("14d");
  expect(await mails("ana@example.com")).toHaveLength(2);
});
`)
}

func TestWebhooksAreSignedAndCameOnce(t *testing.T) {
	hold(t, `
test("it", async (t) => {
  const { id } = await t.db.parcels.insert({ code: "a" });
  expect((await t.webhook("courier", { id: "e1", code: "a" })).status).toBe(200);
  expect((await t.db.parcels.get(id)).state).toBe("lost");
  await t.db.parcels.update(id, { state: "packed" });
  expect((await t.webhook("courier", { id: "e1", code: "a" })).status).toBe(200);
  expect((await t.db.parcels.get(id)).state).toBe("packed");
});
`)
}

func TestTestsAreChosen(t *testing.T) {
	three := `test("first", () => {}); test("second", () => {}); test("third", () => {});`
	results, sum := run(t, three, func(c *apptest.Config) { c.Match = regexp.MustCompile("^(first|third)$") })
	if len(results) != 2 || sum.Passed != 2 || sum.Skipped != 1 || results["second"].OK {
		t.Errorf("by name: %+v %+v", results, sum)
	}
	results, sum = run(t, three, func(c *apptest.Config) { c.Files = []string{"other"} })
	if len(results) != 0 || sum.Passed+sum.Failed != 0 {
		t.Errorf("by file: %+v %+v", results, sum)
	}
}

func TestWhatATestSaysIsKept(t *testing.T) {
	results, _ := run(t, `test("it", () => { console.log("n is", 3, { a: [1] }); });`)
	if said := results["it"].Said; len(said) != 1 || said[0] != `n is 3 {"a":[1]}` {
		t.Errorf("it said %q", said)
	}
}

func TestAFileThatCannotBeReadIsAFinding(t *testing.T) {
	for name, text := range map[string]string{
		"syntax":      "test(\"it\", () => {",
		"import":      "import \"./nowhere\";",
		"same name":   "test(\"it\", () => {}); test(\"it\", () => {});",
		"throws":      "throw new Error(\"not now\");",
		"never loads": "for (;;);",
	} {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{"tests/own.test.ts": {Data: []byte(head + text)}}
			for name, content := range app {
				files[name] = &fstest.MapFile{Data: []byte(content)}
			}
			_, err := apptest.Run(t.Context(), apptest.Config{Config: serve.Config{Files: files}})
			var wrong *serve.AppError
			if !errors.As(err, &wrong) || len(wrong.Findings) == 0 ||
				wrong.Findings[0].Pos.File != "tests/own.test.ts" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhoStopsTheRunHearsSo(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	files := fstest.MapFS{"tests/own.test.ts": {Data: []byte(head +
		`test("one", () => {}); test("two", () => {});`)}}
	for name, content := range app {
		files[name] = &fstest.MapFile{Data: []byte(content)}
	}
	ran := 0
	_, err := apptest.Run(ctx, apptest.Config{Config: serve.Config{Files: files},
		Done: func(apptest.Result) { ran++; stop() }})
	if !errors.Is(err, context.Canceled) || ran != 1 {
		t.Errorf("%d ran, %v", ran, err)
	}
}

func TestAUserHasWhatEveryUserMustHave(t *testing.T) {
	asked := strings.Replace(app["galley.yaml"], "      name: string?\n", `      name:   {type: string, max: 80}
      short:  {type: string, max: 8}
      about:  text
      wallet: money
      age:    {type: int, min: 18}
      cold:   {type: int, max: -1}
      kind:   [buyer, seller]
      tags:   string[]
      nice:   bool
      since:  {type: time, set: now}
      lucky:  {type: int, default: 7}
`, 1)
	results, _ := run(t, `
test("nobody says anything", async (t) => {
  const [ana, bo] = [await t.user(), await t.user({ name: "Bo", wallet: 5, kind: "seller" })];
  expect(ana).toMatchObject({ name: "name 1", short: "short 1", about: "about 1", wallet: 0, age: 18,
    cold: -1, kind: "buyer", tags: [], nice: false, lucky: 7 });
  expect(bo).toMatchObject({ name: "Bo", wallet: 5, age: 18, kind: "seller" });
});
`, func(c *apptest.Config) {
		c.Config.Files.(fstest.MapFS)["galley.yaml"] = &fstest.MapFile{Data: []byte(asked)}
	})
	if r := results["nobody says anything"]; !r.OK {
		t.Errorf("line %d: %s", r.At.Line, r.Why)
	}
}
