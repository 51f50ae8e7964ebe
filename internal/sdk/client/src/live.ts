import type { Frame, Link } from "./link";
import { by, holds, patched, type Values } from "./order";
import type { Outbox } from "./outbox";
import { Problem } from "./problem";
import type { Shelf } from "./shelf";

export interface Query { filter?: string; sort?: string; limit?: number; expand?: string[] }

type State = "loading" | "live" | "offline" | "ended";

/** A list that the server keeps true. */
interface List {
  collection: string;
  query: Query;
  key: string;
  /** The records as the server has them, undefined before it has said. */
  server?: Map<string, Values>;
  /** The place in the journal up to which that holds. */
  at?: string;
  sub?: string;
  items: readonly Values[];
  state: State;
  problem?: Problem;
  readers: Set<() => void>;
  /** stop lets the socket go. */
  stop?: () => void;
  saving?: ReturnType<typeof setTimeout>;
  order: (a: Values, b: Values) => number;
}

/** How long a list goes on after its last reader left, and how many are remembered. */
const lingerTime = 1000;
const saveTime = 250;
const checkTime = 1000;
const listMax = 1000;

/** reached reports whether a place lies at or behind another; those of another history do. */
function reached(place: string | undefined, at: string): boolean {
  if (!place) return false;
  const [a, n] = place.split(":"), [b, m] = at.split(":");
  return a !== b || +n! >= +m!;
}

/** keyed is what a row is known by: rows of views have nothing but their place. */
const keyed = (r: Values, i: number) => (r.version ? r.id : i);

export type Lives = ReturnType<typeof makeLives>;

/** makeLives returns what keeps all live lists of an app over one socket. */
export function makeLives(o: {
  link: Link; shelf: Shelf; outbox: () => Outbox; user(): string;
  /** Told of records that the server sent. */
  heard(record: any): void;
}) {
  const lists = new Map<string, List>();
  const subs = new Map<string, List>();
  let group: Frame[] = [];
  let place: string | undefined;
  let acked = 0;
  let acking: ReturnType<typeof setTimeout> | undefined;
  const active = new Set<List>();

  /** record finds what the server last said of a record, in any list. */
  function record(collection: string, id: string): Values | undefined {
    let found: Values | undefined;
    for (const l of active) {
      const r = l.collection === collection && l.server?.get(id);
      if (r && !((found?.version ?? 0) > r.version)) found = r;
    }
    return found;
  }

  /** shown is a list with the changes on top of it that the server does not show yet. */
  function shown(l: List): Values[] {
    const map = new Map(l.server);
    const made = new Map<string, Values>();
    const layers = o.outbox().layers();
    // Whatever this clock says, what is made now is newer than all that the server has told.
    let last = layers.length ? Math.max(0, ...[...map.values()].map((r) => Date.parse(r.updated) || 0)) : 0;
    for (const layer of layers) {
      if (layer.at && reached(l.at, layer.at)) continue;
      for (const s of layer.shows) {
        if (s.name !== l.collection) continue;
        if (s.kind === "delete") {
          map.delete(s.id!);
          made.delete(s.id!);
          continue;
        }
        const old = made.get(s.id!) ?? map.get(s.id!) ?? record(l.collection, s.id!);
        const now = new Date(Math.max(layer.time, ++last)).toISOString();
        const next = old ? patched(old, { updated: now, ...s.values }) :
          s.kind === "create" && { created: now, updated: now, version: 0, ...s.values, id: s.id };
        if (!next) continue;
        made.set(s.id!, next);
        const whole = beside(l, next, old);
        if (!whole) map.delete(s.id!);
        else if (holds(l.query.filter, next) ?? (s.kind === "create" || map.has(s.id!))) map.set(s.id!, whole);
        else map.delete(s.id!);
      }
    }
    // Where a record stands without a field to sort by, the server will say. Till then it is last.
    const fields = l.query.sort?.split(/,?-|,/) ?? [];
    const lacks = (r: Values) => +fields.some((f) => f && !(f in r));
    return [...map.values()].sort((a, b) => lacks(a) - lacks(b) || l.order(a, b))
      .filter((r, i) => i < Math.min(l.query.limit ?? 50, 500) || lacks(r) || !("version" in r));
  }

  /**
   * beside puts the records that a list expands beside one that was changed here. It returns
   * undefined where they are not known, as nobody expects a record without them.
   */
  function beside(l: List, next: Values, old?: Values): Values | undefined {
    let expand = next.expand;
    for (const path of l.query.expand ?? []) {
      const [head, ...deeper] = path.split(".") as [string, ...string[]];
      const id = next[head];
      if (expand && old?.[head] === id) continue;
      let found: Values | undefined;
      for (const x of deeper.length ? [l] : active) {
        if (!deeper.length) found ??= x.server?.get(id);
        for (const r of x.server?.values() ?? []) if (r[head] === id) found ??= r.expand?.[head];
      }
      if (found || id === null) expand = { ...expand, [head]: found };
      else if (!expand) return undefined;
    }
    return expand === next.expand ? next : { ...next, expand };
  }

  /** draw computes lists and tells their readers, all after all are computed. */
  function draw(some: Iterable<List>, force?: boolean) {
    const told: List[] = [];
    for (const l of some) {
      const next = shown(l);
      if (force || next.length !== l.items.length || next.some((r, i) => r !== l.items[i])) {
        l.items = next;
        told.push(l);
      }
    }
    for (const l of told) [...l.readers].forEach((fn) => fn());
  }

  function set(l: List, state: State, problem?: Problem) {
    if (l.state === state && !problem) return;
    l.state = state;
    l.problem = problem;
    draw([l], true);
  }

  /** put takes over a whole answer, or what changed since the one before. */
  function put(l: List, f: Frame) {
    if (f.items) {
      l.order = f.items.some((r: Values) => !r.version) ? () => 0 : by(l.query.sort, f.items);
      const old = l.server;
      l.server = new Map(f.items.map((r: Values, i: number) => {
        const same = old?.get(keyed(r, i));
        return [keyed(r, i), same && JSON.stringify(same) === JSON.stringify(r) ? same : r];
      }));
    }
    for (const c of f.changes ?? []) {
      if (c.put) l.server!.set(c.put.id, c.put);
      else l.server!.delete(c.del);
    }
    // After all lists are drawn.
    if (l.collection === "users") Promise.resolve(l.server!.get(o.user())).then(o.heard);
    if (f.at && !(l.at && reached(l.at, f.at) && !f.items)) l.at = f.at;
    l.saving ??= setTimeout(save, saveTime, l);
  }

  function save(l: List) {
    clearTimeout(l.saving);
    l.saving = undefined;
    if (!l.server) return;
    const kept = { items: [...l.server.values()], user: o.user(), time: Date.now() };
    o.shelf.keep(keyOf(l), kept).catch(() => {}); // what is not kept is asked for again
  }

  const keyOf = (l: List) => o.user() + " " + l.key;

  async function follow(l: List) {
    const { filter, sort, limit, expand } = l.query;
    const user = o.user();
    try {
      const { ok } = await o.link.say({
        follow: l.collection, filter, sort, limit, expand: expand?.join(), since: l.at,
      });
      if (!l.stop || user !== o.user()) return o.link.send({ unfollow: ok.sub });
      if (l.sub) subs.delete(l.sub);
      l.sub = ok.sub;
      subs.set(ok.sub, l);
      put(l, ok);
      l.at = ok.at;
      l.state = "live";
      l.problem = undefined;
      sweep();
      draw([l], true);
    } catch (e) {
      const p = e as Problem;
      if (!p.status) return; // the socket was lost, and all is followed again
      if (p.status < 500 && p.status !== 429) return end(l, p);
      setTimeout(() => o.link.isOpen() && l.stop && !l.sub && follow(l), 1000 * (p.after ?? 1));
    }
  }

  /** end is for what the server will not show any more. */
  function end(l: List, p: Problem) {
    if (l.sub) subs.delete(l.sub);
    l.sub = l.at = undefined;
    l.server = new Map();
    save(l);
    set(l, "ended", p);
  }

  /** sweep forgets the layers that every list has under it. */
  function sweep() {
    const all = [...active];
    o.outbox().drop((layer) => all.every((l) => l.state === "ended" || reached(l.at, layer.at!)));
  }

  /** take applies all pushes of one commit together. */
  function take(frames: Frame[]) {
    const touched = new Set<List>();
    const layered = o.outbox().layers().length > 0;
    for (const f of frames) {
      const l = f.sub && subs.get(f.sub);
      if (!l) continue;
      if (f.ended) {
        end(l, new Problem({ status: 403, title: "This may not be seen any more.", ...f.ended }));
        continue;
      }
      put(l, f);
      touched.add(l);
    }
    const { at, sub } = frames[frames.length - 1]!;
    if (at) {
      if (!place || reached(at, place)) place = at; // that of a view may be an earlier one
      // A place alone is that of all. Beside a push, others may be told nothing for now.
      if (!sub) for (const l of subs.values()) if (!reached(l.at, at)) l.at = at;
      ack();
    }
    sweep();
    draw(layered ? active : touched);
  }

  /** ack tells the server how far we are, at most once a second. */
  function ack() {
    const left = acked + 1000 - Date.now();
    if (left > 0) {
      // A timer may ring a little early, and then rings again.
      acking ??= setTimeout(() => {
        acking = undefined;
        ack();
      }, left);
      return;
    }
    clearTimeout(acking);
    acking = undefined;
    acked = Date.now();
    o.link.send({ ack: place });
  }

  async function start(l: List) {
    l.state = "loading";
    l.stop = o.link.want();
    active.add(l);
    if (o.link.isOpen()) follow(l);
    if (!l.server) {
      const kept = await o.shelf.list(keyOf(l)).catch(() => undefined);
      if (kept && !l.server) {
        l.server = new Map(kept.items.map((r, i) => [keyed(r, i), r]));
        draw([l]);
      }
    }
    draw([l]);
  }

  function stop(l: List) {
    if (l.readers.size || !l.stop) return;
    if (l.saving) save(l);
    if (l.sub) {
      o.link.send({ unfollow: l.sub });
      subs.delete(l.sub);
    }
    l.stop();
    l.stop = l.sub = l.at = l.server = undefined;
    active.delete(l);
    sweep();
  }

  o.link.add({
    opened: () => active.forEach((l) => l.state !== "ended" && follow(l)),
    closed() {
      subs.clear();
      group = [];
      for (const l of active) {
        l.sub = undefined;
        if (l.state !== "ended") set(l, "offline");
      }
    },
    pushed(f) {
      if (!("sub" in f) && !(f.at && !f.channel)) return;
      group.push(f);
      if (f.more) return;
      const all = group;
      group = [];
      take(all);
    },
  });

  globalThis.addEventListener?.("pagehide", () => active.forEach((l) => l.saving && save(l)));

  return {
    /** redraw shows what changed in the layers. */
    redraw: () => draw(active),

    /** check has the server say where it is, for lists that a layer waits for in vain. */
    check(at: string) {
      sweep();
      setTimeout(() => {
        for (const l of active) {
          if (!l.sub || reached(l.at, at)) continue;
          o.link.send({ unfollow: l.sub });
          follow(l);
        }
      }, checkTime);
    },

    /** reset begins all lists anew, as another user has come. */
    reset() {
      subs.clear();
      for (const l of active) {
        l.server = l.at = l.sub = undefined;
        clearTimeout(l.saving);
        l.saving = undefined;
        l.state = "loading";
        l.problem = undefined;
      }
      draw(active, true);
    },

    live(collection: string, query: Query = {}) {
      const q: Query = { filter: query.filter, sort: query.sort, limit: query.limit, expand: query.expand };
      const key = JSON.stringify([collection, q]);
      const l: List = lists.get(key) ?? {
        collection, query: q, key, items: [], state: "loading", readers: new Set(), order: by(q.sort),
      };
      if (lists.size >= listMax) for (const [k, x] of lists) if (!x.stop && lists.delete(k)) break;
      lists.set(key, l);
      return face(l);
    },
  };

  function face(l: List) {
    let mine = faces.get(l);
    if (!mine) {
      mine = {
        get items() {
          return l.items;
        },
        get state() {
          return l.state;
        },
        get problem() {
          return l.problem;
        },
        subscribe(fn: (items: readonly Values[]) => void) {
          const reader = () => fn(l.items);
          l.readers.add(reader);
          if (!l.stop) start(l);
          reader();
          return () => {
            l.readers.delete(reader);
            if (!l.readers.size) setTimeout(stop, lingerTime, l);
          };
        },
      };
      faces.set(l, mine);
    }
    return mine;
  }
}

const faces = new WeakMap<List, any>();
