import { cel, galley, Problem } from "../src/galley";
import { by, holds, makeID, patched } from "../src/order";
import { chaos } from "./chaos";
import { FakeSocket, World, equal, until, type Frame } from "./fake";

const tests: Array<[string, () => Promise<void> | void]> = [];
const test = (name: string, run: () => Promise<void> | void) => tests.push([name, run]);
let count = 0;

/** open makes a client of a world of its own. */
function open(): { w: World; api: any } {
  const w = new World();
  const host = `app${++count}.test`;
  FakeSocket.worlds.set(host, w);
  globalThis.WebSocket = FakeSocket as any;
  return { w, api: galley({ url: `http://${host}/`, fetch: w.fetch as any }) };
}

/** lists has the world answer follows with records, by collection. */
function lists(w: World, records: Record<string, any[]>, at = "e:1") {
  let n = 0;
  w.reply = (f) => (f.follow ? { ok: { sub: `s${++n}`, items: records[f.follow], at } } : { ok: {} });
}

const card = (id: string, fields: object = {}) => ({ id, created: "2026-11-21T08:00:00.000Z", updated: "2026-11-21T08:00:00.000Z", version: 1, title: id, position: 1, list: "l1", ...fields });
const ids = (live: any) => live.items.map((r: any) => r.id).join();

test("a filter binds values as literals and nothing else", () => {
  const tricky = `" || true || "\\ \n\u2028`;
  equal(cel`name == ${tricky} && price <= ${-5}`, `name == ${JSON.stringify(tricky)} && price <= (-5)` as any);
  equal(cel`a in ${["x", 1, true]} && at < ${new Date(0)} && owner == ${{ id: "u1" }} && n == ${null}`,
    `a in ["x", 1, true] && at < timestamp("1970-01-01T00:00:00.000Z") && owner == "u1" && n == null` as any);
  equal(cel`name.matches("\\d")`, `name.matches("\\\\d")` as any);
  for (const v of [undefined, NaN, Infinity, {}, () => 1, Symbol("x")]) {
    let problem: unknown;
    try { cel`a == ${v as any}`; } catch (e) { problem = e; }
    if (!(problem instanceof TypeError)) throw new Error(`${String(v)} was bound`);
  }
});

test("any name may be asked for, and no promise comes of it", async () => {
  const { w, api } = open();
  w.answer = (s) => ({ status: 200, body: s.path });
  equal(await api.constructor.list(), "/api/constructor");
  equal(await api.actions.constructor({}), "/api/actions/constructor");
  for (const x of [api, api.actions, api.proxy]) {
    equal((await x) === x && String(x), "[object Object]");
    equal([x.then, x.toJSON, x.$$typeof, x.__v_isRef, x.nodeType, x[Symbol.iterator]].filter((y) => y !== undefined), []);
  }
  equal(JSON.stringify(api.actions), "{}");
});

test("ids rise and have the form of the server's", () => {
  let before = "";
  for (let i = 0; i < 5000; i++) {
    const id = makeID();
    if (!/^[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(id) || id <= before) throw new Error(`${before} ${id}`);
    before = id;
  }
});

test("a patch is applied as the server applies it", () => {
  equal(patched({ a: 1, b: null, l: ["x"], m: null, t: "s" }, { a: { $add: 2 }, b: { $max: 3 }, l: { $append: "y" }, m: { $remove: "x" }, t: null }),
    { a: 3, b: 3, l: ["x", "y"], m: null, t: null });
  equal(patched({ a: 5, l: ["x", "y", "x"] }, { a: { $min: 2 }, l: { $remove: "x" } }), { a: 2, l: ["y"] });
});

test("a filter is decided where it can be", () => {
  const r = { list: "l1", n: -5, done: false, name: "a && b", none: null };
  const cases: Array<[string, boolean | undefined]> = [
    [`list == "l1"`, true], [`list == "l2"`, false], [`list != "l1"`, false], [`done`, false], [`!done`, true],
    [`n == (-5) && n < 0`, true], [`n >= 0`, false], [`name == "a && b" && list == "l1"`, true],
    [`none == null`, true], [`none < 5`, false], [`list.board == "b"`, undefined], [`list.board == "b" && done`, false],
    [`list == "l1" || done`, undefined], [`name.contains("a")`, undefined], [`size(name) > 3`, undefined],
    [`(list == "l2")`, undefined], [`list in ["l1"]`, undefined], [`n == -5`, true], [`list == name`, undefined],
    [`other == 5`, undefined], [`true`, undefined], [`n + 1 == 5`, undefined], [`n < "x"`, undefined],
  ];
  for (const [filter, want] of cases) equal(holds(filter, r), want, filter);
});

test("equal live lists are one, and end with their last reader", async () => {
  const { w, api } = open();
  lists(w, { cards: [card("a"), card("b")] });
  const a = api.cards.live({ sort: "title" }), b = api.cards.live({ sort: "title" });
  const stops = [a.subscribe(() => {}), b.subscribe(() => {})];
  await until("live", () => a.state === "live");
  equal(ids(b), "a,b");
  equal(w.socket.got.filter((f) => f.follow).length, 1, "follows");
  stops[0]!();
  stops[1]!();
  await until("unfollow", () => w.socket.got.some((f) => f.unfollow === "s1"));
  const c = api.cards.live({ sort: "title" });
  c.subscribe(() => {});
  await until("live again", () => w.socket.got.filter((f) => f.follow).length === 2 && c.state === "live");
});

test("a commit is shown in all lists together", async () => {
  const { w, api } = open();
  lists(w, { cards: [card("a"), card("b")], lists: [{ id: "l1", version: 1, count: 2 }] });
  const cards = api.cards.live(), all = api.lists.live();
  const seen: string[] = [];
  const look = () => seen.push(`${cards.items.length}/${all.items[0]?.count}`);
  cards.subscribe(look);
  all.subscribe(look);
  await until("live", () => cards.state === "live" && all.state === "live");
  seen.length = 0;
  w.socket.push({ sub: "s1", at: "e:2", changes: [{ del: "a" }], more: true });
  equal(seen, [], "half a commit");
  w.socket.push({ sub: "s2", at: "e:2", changes: [{ put: { id: "l1", version: 2, count: 1 } }] });
  equal(seen, ["1/1", "1/1"]);
});

test("the rows of a view are as the server has them", async () => {
  const { w, api } = open();
  const rows = Array.from({ length: 60 }, (_, i) => ({ group: "g" + (i % 7), id: 60 - i }));
  lists(w, { totals: rows });
  const live = api.totals.live();
  live.subscribe(() => {});
  await until("live", () => live.state === "live");
  equal(JSON.stringify(live.items) === JSON.stringify(rows), true);
  const first = live.items[0];
  w.socket.push({ sub: "s1", reset: true, at: "e:2", items: [rows[0], { group: "g0", id: 61 }] });
  equal([live.items.length, live.items[0] === first, live.items[1].id], [2, true, 61]);
});

test("records that stay as they are stay the same objects", async () => {
  const { w, api } = open();
  lists(w, { cards: [card("a"), card("b")] });
  const live = api.cards.live();
  live.subscribe(() => {});
  await until("live", () => live.state === "live");
  const [before, items] = [live.items[0], live.items];
  w.socket.push({ sub: "s1", at: "e:2", changes: [{ put: card("b", { version: 2 }) }] });
  equal(live.items[0] === before && live.items !== items, true);
});

test("a change is shown at once and until the server shows it", async () => {
  const { w, api } = open();
  lists(w, { cards: [card("a"), card("b", { position: 2 })] });
  const live = api.cards.live({ sort: "position" });
  live.subscribe(() => {});
  await until("live", () => live.state === "live");
  let say: ((f: Frame) => void) | undefined;
  w.reply = (f, s) => void (say = (r) => s.push({ id: f.id, ...r }));
  const done = api.cards.update("a", { position: 3 });
  equal(ids(live), "b,a", "at once");
  await until("sent", () => say);
  // Another's change comes between: the layer lies on top of it.
  w.socket.push({ sub: "s1", at: "e:2", changes: [{ put: card("a", { title: "A", version: 2 }) }] });
  equal([ids(live), live.items[1].title, live.items[1].position], ["b,a", "A", 3]);
  say!({ status: 200, body: card("a", { position: 3, version: 3 }), at: "e:4" });
  equal((await done).position, 3);
  w.socket.push({ sub: "s1", at: "e:3", changes: [{ put: card("b", { position: 2.5, version: 2 }) }] });
  equal([ids(live), live.items[1].version], ["b,a", 2], "before its push");
  w.socket.push({ sub: "s1", at: "e:4", changes: [{ put: card("a", { title: "A", position: 3, version: 3 }) }] });
  equal([ids(live), live.items[1].version], ["b,a", 3]);
  w.socket.push({ sub: "s1", at: "e:5", changes: [{ put: card("a", { position: 1, version: 4 }) }] });
  equal(ids(live), "a,b", "the layer is gone");
});

test("a place alone ends a layer, and a problem ends it at once", async () => {
  const { w, api } = open();
  lists(w, { cards: [card("a")] });
  const live = api.cards.live();
  live.subscribe(() => {});
  await until("live", () => live.state === "live");
  w.reply = () => ({ status: 201, body: card("x"), at: "e:7" });
  await api.cards.create({ title: "elsewhere", list: "l2" });
  equal(live.items.length, 2, "until the place is reached");
  w.socket.push({ at: "e:7" });
  equal(ids(live), "a", "after the place");
  w.reply = () => ({ status: 403, problem: { code: "forbidden", status: 403, title: "No." } });
  const refused: string[] = [];
  api.outbox.onRefused((p: Problem) => refused.push(p.code));
  const p = api.cards.delete("a").catch((e: Problem) => e);
  equal(live.items.length, 0);
  equal([(await p).code, (await p).message, ids(live)], ["forbidden", "No.", "a"]);
  equal(refused, [], "who waits for the answer hears of it there");
});

test("a card goes from one filtered list to another at once", async () => {
  const { w, api } = open();
  const all = [card("a"), card("b"), card("c", { list: "l2" })];
  let n = 0;
  w.reply = (f) => f.follow ? { ok: { sub: `s${++n}`, at: "e:1", items: all.filter((c) => f.filter.includes(c.list)) } } : undefined;
  const one = api.cards.live({ filter: cel`list == ${"l1"}`, sort: "title" }), two = api.cards.live({ filter: cel`list == ${"l2"}`, sort: "title" });
  one.subscribe(() => {});
  two.subscribe(() => {});
  await until("live", () => one.state === "live" && two.state === "live");
  api.cards.update("a", { list: "l2" });
  equal([ids(one), ids(two)], ["b", "a,c"]);
  api.cards.create({ id: "d", list: "l2", title: "d" });
  api.cards.update("d", { list: "l1" });
  equal([ids(one), ids(two)], ["b,d", "a,c"]);
});

test("a record is shown with what its list expands, or not before the server shows it", async () => {
  const { w, api } = open();
  const [ana, ben] = [{ id: "u1", version: 1, name: "Ana" }, { id: "u2", version: 1, name: "Ben" }];
  lists(w, { cards: [card("a", { owner: "u1", expand: { owner: ana } })], users: [ana, ben] });
  const live = api.cards.live({ expand: ["owner"], sort: "title" }), users = api.users.live();
  live.subscribe(() => {});
  users.subscribe(() => {});
  await until("live", () => live.state === "live" && users.state === "live");
  w.reply = () => undefined;
  api.cards.create({ id: "b", title: "b", owner: "u2" });
  api.cards.create({ id: "c", title: "c" });
  api.cards.create({ id: "d", title: "d", owner: "u9" });
  api.cards.create({ id: "e", title: "e", owner: null });
  const owners = () => live.items.map((r: any) => r.id + r.expand.owner?.name).join();
  equal(owners(), "aAna,bBen,eundefined");
  api.cards.update("a", { owner: "u2" });
  equal(owners(), "aBen,bBen,eundefined");
});

test("a new record stands where the server will put it, or last", async () => {
  const { w, api } = open();
  const later = new Date(Date.now() + 3600_000).toISOString(); // the clock of the server is ahead
  const all = [card("a", { created: later, updated: later, position: 2 }), card("b", { position: 1 })];
  w.reply = (f) => f.follow ? { ok: { sub: f.sort, at: "e:1", items: f.sort[0] === "-" ? all : [...all].reverse() } } : undefined;
  const [newest, changed, first, last] = ["-created", "-updated", "position", "-position"].map((sort) => {
    const live = api.cards.live({ sort, limit: 2 });
    live.subscribe(() => {});
    return live;
  });
  await until("live", () => [newest, changed, first, last].every((l) => l.state === "live"));
  api.cards.create({ id: "c", title: "c" });
  equal([newest, changed, first, last].map(ids), ["c,a", "c,a", "b,a,c", "a,b,c"]);
  api.cards.update("b", { title: "B" });
  equal(ids(changed), "b,c");
  w.socket.push({ sub: "position", at: "e:2", changes: [{ put: card("c", { title: "c", position: 0 }) }, { del: "a" }] });
  equal(ids(first), "c,b", "the server has said where");
});

test("what is heard of the user's own record is who is signed in", async () => {
  const { w, api } = open();
  const me = (version: number, name: string) => ({ id: "u1", version, name });
  w.answer = (s) => ({ status: 200, body: s.path === "/api/auth/session" ? { user: me(1, "Ana") } : me(3, s.body.name) });
  const names: string[] = [];
  api.auth.onChange((u: any) => names.push(u?.name));
  await until("known", () => names.length);
  await api.users.update("u1", { name: "Anna" });
  lists(w, { users: [{ ...me(4, "An"), expand: { x: 1 } }] });
  api.users.live().subscribe(() => {});
  await until("the list", () => api.auth.user.name === "An");
  w.socket.push({ sub: "s1", at: "e:2", changes: [{ put: me(5, "A") }, { put: { id: "u2", version: 9, name: "B" } }] });
  await until("the push", () => api.auth.user.name === "A");
  w.socket.push({ sub: "s1", at: "e:3", changes: [{ put: me(2, "old") }] });
  await new Promise((go) => setTimeout(go, 5));
  equal([names, api.auth.user], [["Ana", "Anna", "An", "A"], me(5, "A")]);
});

test("the line says whether it is up", async () => {
  const { w, api } = open();
  const states: string[] = [];
  const stop = api.line.subscribe((s: string) => states.push(s));
  w.answer = () => ({ status: 200, body: { items: [] } });
  await api.cards.list();
  w.line = false;
  const asked = api.cards.list();
  await until("no answer", () => api.line.state === "offline");
  w.line = true;
  await asked;
  lists(w, { cards: [] });
  const end = api.cards.live().subscribe(() => {});
  await until("the socket", () => w.socket?.open);
  w.cut();
  equal(api.line.state, "offline");
  w.line = true;
  await until("again", () => api.line.state === "live");
  equal(states, ["live", "offline", "live", "offline", "live"]);
  stop();
  end();
});

test("after a break it goes on where it was", async () => {
  const { w, api } = open();
  lists(w, { cards: [card("a")] }, "e:5");
  const live = api.cards.live();
  const states: string[] = [];
  live.subscribe(() => states.push(live.state));
  await until("live", () => live.state === "live");
  w.socket.push({ sub: "s1", at: "e:6", changes: [{ put: card("b") }] });
  w.reply = (f) => ({ ok: { sub: "s9", at: "e:8", changes: [{ del: "a" }] } });
  w.socket.lose(1012);
  equal([live.state, ids(live)], ["offline", "a,b"]);
  await until("back", () => live.state === "live");
  equal(w.socket.got.find((f) => f.follow)!.since, "e:6");
  equal(ids(live), "b");
  w.reply = () => ({ ok: { sub: "s10", reset: true, at: "f:1", items: [card("z")] } });
  w.socket.lose(1006);
  await until("reset", () => ids(live) === "z");
});

test("a reset and an end are followed", async () => {
  const { w, api } = open();
  lists(w, { cards: [card("a")] });
  const live = api.cards.live();
  live.subscribe(() => {});
  await until("live", () => live.state === "live");
  w.socket.push({ sub: "s1", reset: true, items: [card("b"), card("c")], at: "e:900" });
  equal(ids(live), "b,c");
  w.socket.push({ sub: "s1", ended: { code: "forbidden" } });
  equal([live.state, live.problem.code, live.items.length], ["ended", "forbidden", 0]);
});

test("acks are cumulative and at most one a second", async () => {
  const { w, api } = open();
  lists(w, { cards: [] });
  const live = api.cards.live();
  live.subscribe(() => {});
  await until("live", () => live.state === "live");
  for (let i = 2; i < 40; i++) w.socket.push({ sub: "s1", at: `e:${i}`, changes: [{ put: card("c" + i) }] });
  const acks = () => w.socket.got.filter((f) => f.ack).map((f) => f.ack);
  equal(acks(), ["e:2"]);
  await until("the second", () => acks().length === 2);
  equal(acks(), ["e:2", "e:39"]);
  w.socket.push({});
  equal(w.socket.got[w.socket.got.length - 1], {}, "the answer to a ping");
});

test("what was written while offline arrives in order, once, under its key", async () => {
  const { w, api } = open();
  lists(w, { cards: [card("a")] });
  const live = api.cards.live({ sort: "title" });
  live.subscribe(() => {});
  await until("live", () => live.state === "live");
  w.cut();
  const got: any[] = [];
  const all = [
    api.cards.update("a", { title: "A" }), api.cards.create({ id: "b", title: "b" }),
    api.cards.update("b", { title: "bb" }), api.cards.delete("a").catch((e: Problem) => e.code),
  ];
  api.outbox.onRefused((p: Problem, c: any) => got.push([p.code, c.kind, c.name, c.id]));
  equal([live.state, live.items.map((r: any) => r.title)], ["offline", ["bb"]]);
  await until("pending", () => api.outbox.pending.length === 4);
  const sent: Frame[] = [];
  const take = (f: Frame): Frame | undefined => {
    if (f.path === "/api/auth/session") return { status: 200, body: { user: null } };
    sent.push(f);
    // The line breaks once, after the server did it and before it could say so.
    if (sent.length === 2) return;
    if (f.method === "DELETE") return { status: 409, problem: { code: "in_use", status: 409 } };
    return { status: 200, body: { id: f.body.id }, at: `e:${sent.length + 1}` };
  };
  w.reply = (f, s) => f.follow ? { ok: { sub: "s5", at: "e:1", changes: [] } } : take(f) ?? void s.lose(1006);
  w.answer = (s) => {
    const a = take(s);
    if (!a) w.line = !setTimeout(() => (w.line = true), 20);
    return a ? { status: a.status, body: a.problem ?? a.body, headers: { "galley-at": a.at ?? "" } } : { status: 500 };
  };
  w.line = true;
  equal((await Promise.all(all))[3], "in_use");
  equal(sent.map((f) => f.method), ["PATCH", "POST", "POST", "PATCH", "DELETE"]);
  equal(sent[1]!.key === sent[2]!.key && new Set(sent.map((f) => f.key)).size === 4, true, "keys");
  equal(got, [["in_use", "delete", "cards", "a"]]);
  equal(api.outbox.pending.length, 0);
});

test("calls are tried again where that may help, and only there", async () => {
  const { w, api } = open();
  const statuses = [503, 0, 429, 504, 200];
  w.answer = () => {
    const status = statuses.shift()!;
    if (!status) {
      w.line = false;
      setTimeout(() => (w.line = true), 5);
    }
    return status === 200 || !status ? { status: 200, body: { balance: 1 } } :
      { status, body: { status, code: status === 429 ? "rate_limited" : "unavailable", title: "Later." }, headers: { "retry-after": "0" } };
  };
  equal(await api.actions.pay({ n: 1 }), { balance: 1 });
  equal([w.asked.length, new Set(w.asked.map((a) => a.key)).size], [5, 1]);
  for (const [status, code] of [[409, "out_of_stock"], [422, "invalid_input"], [500, "internal"], [401, "unauthenticated"], [412, "stale"]] as const) {
    w.asked = [];
    w.answer = (s) => (s.path.startsWith("/api/auth") ? { status: 401, body: { status: 401, code: "unauthenticated" } } : { status, body: { status, code, title: "No.", data: { left: 0 } } });
    const p = await api.actions.pay({ n: 1 }).catch((e: Problem) => e);
    equal([p instanceof Problem, p.code, p.status, p.message, p.data, w.asked.filter((a) => a.path === "/api/actions/pay").length], [true, code, status, "No.", { left: 0 }, 1]);
  }
  w.answer = () => ({ status: 429, body: { status: 429, code: "rate_limited" }, headers: { "retry-after": "900" } });
  equal((await api.actions.pay({}).catch((e: Problem) => e)).after, 900, "nobody waits a quarter of an hour");
});

test("an action waits in the outbox only if it was asked to", async () => {
  const { w, api } = open();
  w.line = false;
  const queued = api.actions.note({ text: "x" }, { offline: true, key: "k1" });
  await until("pending", () => api.outbox.pending.length === 1);
  equal(api.outbox.pending[0].name, "note");
  w.answer = (s) => s.path === "/api/actions/note" ? { status: 200, body: { ok: s.key } } : { status: 404, body: { code: "not_found", status: 404 } };
  w.line = true;
  equal(await queued, { ok: "k1" });
});

test("an action is shown as it was asked to, until its place is reached", async () => {
  const { w, api } = open();
  lists(w, { cards: [card("a")] });
  const live = api.cards.live();
  live.subscribe(() => {});
  await until("live", () => live.state === "live");
  w.reply = () => ({ status: 200, body: {}, at: "e:3" });
  const done = api.actions.move({ card: "a" }, { optimistic: (local: any) => local.cards.update("a", { list: "l2" }) });
  equal(live.items[0].list, "l2");
  await done;
  equal(live.items[0].list, "l2");
  w.socket.push({ at: "e:3" });
  equal(live.items[0].list, "l1", "the server did not do it");
});

test("versions, queries and pages go as HTTP has them", async () => {
  const { w, api } = open();
  w.answer = (s) => ({ status: 200, body: s.path.includes("cursor=c2") ? { items: [{ id: "3" }] } : { items: [{ id: "1" }, { id: "2" }], next: "c2" } });
  const got: string[] = [];
  for await (const r of api.cards.all({ filter: cel`a == ${"x&y"}` })) got.push(r.id);
  equal([got.join(), w.asked[0]!.path], ["1,2,3", "/api/cards?limit=500&filter=a+%3D%3D+%22x%26y%22"]);
  w.asked = [];
  await api.cards.get("a/b", { expand: ["list", "author"] });
  await api.cards.update("a", { title: "x" }, { version: 7 });
  equal(w.asked.map((s) => [s.method, s.path, s.version]), [["GET", "/api/cards/a%2Fb?expand=list%2Cauthor", null], ["PATCH", "/api/cards/a", '"7"']]);
  w.answer = () => ({ status: 200, body: { responses: [{ status: 201, body: { id: "x" } }, { status: 204 }] } });
  equal(await api.batch([{ create: "cards", values: { title: "x" } }, { delete: "cards", id: "y", version: 2 }]), [{ id: "x" }, null]);
  equal(w.asked[2]!.body, { requests: [{ method: "POST", path: "/api/cards", body: { title: "x" } }, { method: "DELETE", path: "/api/cards/y", if_match: 2 }] });
});

test("another user sees nothing of the one before", async () => {
  const { w, api } = open();
  lists(w, { cards: [card("a")] });
  w.answer = (s) => s.path.endsWith("sign-in") ? { status: 200, body: { user: { id: s.body.email } } } :
    s.path.endsWith("session") ? { status: 401, body: { code: "unauthenticated", status: 401 } } : { status: 204 };
  const users: any[] = [];
  api.auth.onChange((u: any) => users.push(u?.id ?? null));
  await until("nobody", () => users.length === 1);
  await api.auth.signIn({ email: "ana" });
  const live = api.cards.live();
  live.subscribe(() => {});
  await until("live", () => live.state === "live");
  lists(w, { cards: [] });
  await api.auth.signIn({ email: "ben" });
  equal(live.items.length, 0, "at once");
  await until("live for ben", () => live.state === "live" && w.sockets.length === 2);
  equal(w.socket.got.find((f) => f.follow)!.since, undefined);
  await api.auth.signOut();
  equal(users, [null, "ana", "ben", null]);
  equal(api.auth.user, null);
});

test("what waited is not sent as somebody else", async () => {
  const { w, api } = open();
  let who = "ana";
  w.answer = (s) => s.path.endsWith("session") ? { status: 200, body: { user: { id: who } } } : { status: 200, body: {} };
  const users: any[] = [];
  api.auth.onChange((u: any) => users.push(u?.id));
  await until("ana", () => users[0] === "ana");
  w.cut();
  api.cards.update("a", { title: "x" }).catch(() => {});
  await until("no answer", () => api.line.state === "offline");
  who = "ben"; // signed in by another page, of which this one has not heard
  w.line = true;
  await until("ben", () => users[1] === "ben");
  equal(w.asked.filter((s) => s.method === "PATCH"), []);
  who = "ana";
  await api.auth.signIn({ email: "ana" }).catch(() => {});
});

test("presence is what the channel says", async () => {
  const { w, api } = open();
  w.reply = (f) => (f.join ? { ok: { who: "c1", present: [{ who: "c1", user: { id: "u1" }, state: f.state }] } } : { ok: {} });
  const c = api.channel("board/b1", { state: { x: 1 } });
  const heard: any[] = [];
  c.on("message", (m: any, from: any) => heard.push([m, from.who])).on("left", (p: any) => heard.push(["left", p.who]));
  await until("joined", () => c.present.length === 1);
  equal(w.socket.got.find((f) => f.join), { id: 1, join: "board/b1", state: { x: 1 } });
  w.socket.push({ channel: "board/b1", joined: { who: "c2", user: { id: "u2" } } });
  w.socket.push({ channel: "board/b1", state: { who: "c2", value: { x: 5 } } });
  w.socket.push({ channel: "board/b1", from: "c2", user: "u2", message: { typing: true } });
  w.socket.push({ channel: "board/other", from: "c2", message: 1 });
  equal(c.present, [{ who: "c1", user: { id: "u1" }, state: { x: 1 }, self: true }, { who: "c2", user: { id: "u2" }, state: { x: 5 } }]);
  c.send("hi").state({ x: 2 }).state({ x: 3 });
  equal(c.present[0].state, { x: 3 }, "one sees at once what one shows");
  await until("the state", () => w.socket.got.some((f) => f.state === "board/b1"));
  // Both are seen in another way, as their records changed.
  w.socket.push({ channel: "board/b1", joined: { who: "c1", user: { id: "u1", name: "A" }, state: { x: 2 } } });
  w.socket.push({ channel: "board/b1", joined: { who: "c2", user: { id: "u2", name: "B" } } });
  equal(c.present, [{ who: "c1", user: { id: "u1", name: "A" }, state: { x: 3 }, self: true }, { who: "c2", user: { id: "u2", name: "B" } }]);
  equal(w.socket.got.slice(-2), [{ send: "board/b1", message: "hi" }, { state: "board/b1", value: { x: 3 } }]);
  w.socket.push({ channel: "board/b1", left: "c2" });
  equal(heard, [[{ typing: true }, "c2"], ["left", "c2"]]);
  w.socket.lose(1006);
  equal(c.present.length, 0);
  await until("joined again", () => c.present.length === 1);
  equal(w.socket.got.find((f) => f.join)!.state, { x: 3 });
  const d = api.channel("board/b1");
  equal(d.present.length, 1, "the page is in it already");
  c.leave();
  equal(w.socket.got.some((f) => f.leave), false);
  w.reply = (f) => (f.join ? { status: 503, problem: { status: 503, code: "unavailable" }, retry_after: 0.001 } : { ok: {} });
  w.socket.push({ channel: "board/b1", ended: { code: "unavailable" } });
  equal(d.present.length, 0);
  await until("asked again", () => w.socket.got.filter((f) => f.join).length > 2);
  const ends: string[] = [];
  d.on("ended", (p: Problem) => ends.push(p.code));
  w.socket.push({ channel: "board/b1", ended: { code: "forbidden" } });
  equal([ends, d.problem.code], [["forbidden"], "forbidden"]);
  d.leave();
  equal(w.socket.got[w.socket.got.length - 1], { leave: "board/b1" });
});

(async () => {
  const [order, seed, steps] = process.argv.slice(2);
  if (order === "chaos") {
    await chaos(Number(seed), Number(steps));
    process.exit(0);
  }
  if (order) {
    // The rows and the orders to bring them into come from the test in Go.
    const { rows, sorts } = JSON.parse(await new Response(process.stdin as any).text());
    console.log(JSON.stringify(sorts.map((s: string) => [...rows].sort(by(s)).map((r: any) => r.id))));
    process.exit(0);
  }
  let failed = 0;
  await Promise.all(tests.map(async ([name, run]) => {
    try {
      await run();
    } catch (e: any) {
      failed++;
      console.log(`FAIL ${name}: ${e?.stack ?? e}`);
    }
  }));
  console.log(`${tests.length - failed} of ${tests.length} hold`);
  process.exit(failed ? 1 : 0);
})();
