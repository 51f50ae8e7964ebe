// Many changes by several people over lines that break at every point: at the end everybody
// sees what the server holds, every change was made once, and on the way nobody saw one of
// his own changes go back.

import { cel, galley, Problem } from "../src/galley";
import { FakeSocket, World, equal, tick, until, type Frame } from "./fake";

type Row = Record<string, any>;
interface Sub { name: string; frame: Frame }

/** chance is mulberry32: the same seed gives the same numbers. */
function chance(seed: number) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Server is what the client should make of the real one: a journal, keys, queries kept true. */
class Server {
  states: Array<Map<string, Row>> = [new Map()];
  answers = new Map<string, Frame>();
  made = 0;
  links = new Map<FakeSocket, { subs: Sub[]; queue: Frame[]; busy: boolean }>();
  count = 0;

  constructor(readonly random: () => number) {}

  get at() {
    return "e:" + (this.states.length - 1);
  }

  result(f: Frame, rows: Map<string, Row>): Row[] {
    const group = /"(.*)"/.exec(f.filter ?? "")?.[1];
    const all = [...rows.values()].filter((r) => r.kind === f.follow && (!group || r.group === group));
    const way = f.sort === "-place" ? -1 : 1;
    all.sort((a, b) => (a.place - b.place) * way || (a.id < b.id ? -1 : 1));
    return all.slice(0, f.limit ?? 50);
  }

  diff(f: Frame, before: Map<string, Row>, after: Map<string, Row>): Frame[] {
    const old = new Map(this.result(f, before).map((r) => [r.id, r]));
    const now = this.result(f, after);
    const changes: Frame[] = now.filter((r) => old.get(r.id) !== r).map((put) => ({ put }));
    now.forEach((r) => old.delete(r.id));
    return [...changes, ...[...old.keys()].map((del) => ({ del }))];
  }

  /** send hands a frame to a socket after a while, and keeps the order of its frames. */
  send(s: FakeSocket, frame: Frame) {
    const l = this.links.get(s);
    if (!l) return;
    l.queue.push(frame);
    if (l.busy) return;
    l.busy = true;
    const next = () => {
      const f = l.queue.shift();
      if (!f) return void (l.busy = false);
      setTimeout(() => {
        if (s.open) s.push(f);
        next();
      }, this.random() * 6);
    };
    next();
  }

  commit(rows: Map<string, Row>, by?: FakeSocket) {
    const before = this.states[this.states.length - 1]!;
    this.states.push(rows);
    for (const [s, l] of this.links) {
      const frames = l.subs.map((sub) => ({ sub: sub.name, at: this.at, changes: this.diff(sub.frame, before, rows) }))
        .filter((f) => f.changes.length);
      frames.forEach((f, i) => this.send(s, i < frames.length - 1 ? { ...f, more: true } : f));
      if (s === by) this.send(s, { at: this.at });
    }
  }

  /** write does what a request asks, once for each key. */
  write(method: string, path: string, body: Row, key: string, by?: FakeSocket): Frame {
    const known = this.answers.get(key);
    if (known) return known;
    const [, , kind, id] = path.split("/") as [string, string, string, string];
    const rows = new Map(this.states[this.states.length - 1]!);
    const old = rows.get(id ?? body?.id);
    let answer: Frame;
    if (body?.title === "bad" || (!old && method !== "POST")) {
      answer = { status: 409, problem: { code: "refused", status: 409, title: "No." } };
    } else {
      if (method === "DELETE") rows.delete(id);
      else {
        const r = { ...old, ...body, kind, version: (old?.version ?? 0) + 1 };
        if (body.hits?.$add) r.hits = (old?.hits ?? 0) + body.hits.$add;
        rows.set(r.id, r);
      }
      this.made++;
      this.commit(rows, by);
      answer = { status: 200, body: rows.get(id ?? body.id), at: this.at };
    }
    this.answers.set(key, answer);
    return answer;
  }

  /** take answers a frame of a socket. */
  take(f: Frame, s: FakeSocket) {
    const l = this.links.get(s) ?? { subs: [], queue: [], busy: false };
    this.links.set(s, l);
    if (f.follow) {
      const name = "s" + ++this.count;
      l.subs.push({ name, frame: f });
      const now = this.states[this.states.length - 1]!;
      const since = f.since && this.states[Number(f.since.split(":")[1])];
      const ok = { sub: name, at: this.at };
      // Sometimes what was asked for is too old.
      if (since && this.random() < 0.8) this.send(s, { id: f.id, ok: { ...ok, changes: this.diff(f, since, now) } });
      else this.send(s, { id: f.id, ok: { ...ok, reset: !!f.since, items: this.result(f, now) } });
    } else if (f.method) {
      const answer = this.write(f.method, f.path, f.body, f.key, s);
      if (this.random() < 0.1) this.drop(s); // it was done, and nobody heard it
      else this.send(s, { id: f.id, ...answer });
    } else this.send(s, { id: f.id, ok: {} });
  }

  drop(s: FakeSocket) {
    this.links.delete(s);
    if (s.open) s.lose(1006);
  }
}

/** person is one browser with a world of his own on the common server. */
function person(server: Server, n: number) {
  const w = new World();
  w.reply = (f, s) => void server.take(f, s);
  w.answer = (f) => {
    const a = f.path === "/api/auth/session" ? { status: 200, body: { user: null } } :
      server.write(f.method, f.path, f.body, f.key!);
    if (server.random() < 0.1) {
      w.line = false;
      setTimeout(() => (w.line = true), 10);
    }
    return { status: a.status, body: a.problem ?? a.body, headers: { "galley-at": a.at ?? "" } };
  };
  globalThis.WebSocket = FakeSocket as any;
  FakeSocket.worlds.set(`person${n}.test`, w);
  const api = galley({ url: `http://person${n}.test/`, fetch: w.fetch as any });
  return { w, api };
}

export async function chaos(seed: number, steps: number) {
  const random = chance(seed);
  const server = new Server(random);
  const people = [1, 2, 3].map((n) => person(server, n));
  const lists: Array<{ frame: Frame; live: any }> = [];
  const back: string[] = [];
  for (const [i, { api }] of people.entries()) {
    const follow = (kind: string, query: Row) => {
      const live = api[kind].live(query);
      lists.push({ frame: { follow: kind, ...query }, live });
      return live;
    };
    const cards = follow("cards", { sort: "place" });
    follow("cards", { sort: "place", filter: cel`group == ${"a"}` });
    follow("cards", { sort: "-place", limit: 5 });
    const people = follow("people", { sort: "place" });
    lists.forEach(({ live }) => live.subscribe(() => {}));
    // What only one person writes never goes back before his eyes.
    let last = 0;
    people.subscribe((all: Row[]) => {
      const me = all.find((r) => r.id === "p" + i);
      if (!me) return;
      if (me.step < last) back.push(`${last} became ${me.step}`);
      last = me.step;
    });
    void cards;
  }
  const all: Promise<any>[] = [];
  let asked = 0, refused = 0;
  const ask = (p: Promise<any>) => {
    asked++;
    all.push(p.catch((e) => {
      if (!(e instanceof Problem) || e.code !== "refused") throw e;
      refused++;
    }));
  };
  people.forEach(({ api }, i) => ask(api.people.create({ id: "p" + i, place: i, step: 0 })));
  for (let step = 1; step <= steps; step++) {
    const i = Math.floor(random() * people.length);
    const { w, api } = people[i]!;
    const id = "c" + Math.floor(random() * 20);
    const roll = random();
    if (roll < 0.3) ask(api.people.update("p" + i, { step }));
    else if (roll < 0.5) ask(api.cards.create({ id, place: Math.floor(random() * 9), group: random() < 0.5 ? "a" : "b", hits: 0 }));
    else if (roll < 0.7) ask(api.cards.update(id, { place: Math.floor(random() * 9), group: random() < 0.5 ? "a" : "b" }));
    else if (roll < 0.76) ask(api.cards.update(id, { hits: { $add: 1 } }));
    else if (roll < 0.8) ask(api.cards.update(id, { title: "bad" }));
    else if (roll < 0.86) ask(api.cards.delete(id));
    else if (roll < 0.92 && w.socket) server.drop(w.socket);
    else if (roll < 0.95) {
      server.links.delete(w.socket);
      w.cut();
      setTimeout(() => (w.line = true), random() * 60);
    }
    if (random() < 0.5) await tick();
  }
  await Promise.all(all);
  equal(server.made, asked - refused, "every change was made once");
  const now = () => server.states[server.states.length - 1]!;
  for (const { frame, live } of lists) {
    const want = JSON.stringify(server.result(frame, now()));
    await until(`${JSON.stringify(frame)} is\n${want}`, () => live.state === "live" && JSON.stringify(live.items) === want).catch((e) => {
      throw new Error(`${e.message}\nand not\n${live.state} ${JSON.stringify(live.items)}`);
    });
  }
  equal(back, [], "steps");
}
