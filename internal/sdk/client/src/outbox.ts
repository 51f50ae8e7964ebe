import { hearers } from "./hear";
import type { Answer, Link } from "./link";
import { makeKey, plain } from "./order";
import { Problem, offline, passing, pause } from "./problem";
import type { Shelf } from "./shelf";

/** What is to be changed: a record, or by an action whatever it does. */
export interface Change {
  kind: "create" | "update" | "delete" | "action";
  /** The collection, or the action. */
  name: string;
  id?: string;
  values?: any;
  version?: number;
}

/** A change on its way, and what is shown of it until the server shows it itself. */
export interface Layer extends Change {
  key: string;
  user: string;
  time: number;
  shows: Change[];
  /** Its place in the outbox, once it is kept there. */
  n?: number;
  /** The place in the journal where it was committed. */
  at?: string;
  done?: boolean;
  /** Whether it has waited for the line. */
  waited?: boolean;
}

/** How long one try may take before it is made again under the same key. */
const tryTime = 60_000;
/** The most changes that wait to be sent. */
const layerMax = 10_000;

export const pathOf = (c: Change) =>
  `/api/${c.kind === "action" ? "actions/" : ""}${c.name}` +
  (c.id && c.kind !== "create" ? "/" + encodeURIComponent(c.id) : "");

export const askOf = (c: Change, key: string) => ({
  method: c.kind === "update" ? "PATCH" : c.kind === "delete" ? "DELETE" : "POST",
  path: pathOf(c), key, version: c.version,
  body: c.kind === "create" ? { id: c.id, ...c.values } : c.kind === "delete" ? undefined : c.values,
});

export type Outbox = ReturnType<typeof makeOutbox>;

/**
 * makeOutbox returns the one line in which all changes of records leave, over all tabs and
 * reloads. They leave in order, each under its key, so that what is sent twice is done once.
 */
export function makeOutbox(o: {
  link: Link; shelf: Shelf; name: string;
  user(): string;
  /** The user whom the server knows now; undefined while it cannot be known. */
  known(): Promise<string | undefined>;
  /** Told when what is shown may have changed. */
  shown(): void;
  /** Told what the server answered. */
  heard(record: any): void;
  /** Told where a change was committed that is still shown. */
  landed(at: string): void;
}) {
  let layers: Layer[] = [];
  const owners = new Map<string, { done(v: any): void; fail(p: Problem): void }>();
  /** The keys that were answered of late, which a read may still have found. */
  const ended = new Set<string>();
  const changed = hearers<[readonly Change[]]>();
  const refused = hearers<[Problem, Change]>();
  const tabs = globalThis.indexedDB ? new BroadcastChannel(o.name) : undefined;
  let pending: readonly Layer[] = [];
  let busy = false;
  let down = false;
  let more = false;
  let wake: (() => void) | undefined;

  function tell() {
    pending = layers.filter((l) => l.n !== undefined && !l.done);
    o.shown();
    changed.tell(pending);
  }

  /** only runs a function while no other tab sends. */
  const only = <T>(fn: () => Promise<T>): Promise<T> =>
    globalThis.navigator?.locks ? navigator.locks.request(o.name, fn) as Promise<T> : fn();

  /** read takes over what other tabs and earlier pages have put there. */
  async function read() {
    const user = o.user();
    const all: Layer[] = await o.shelf.entries().catch(() => []);
    const kept = all.filter((e) => e.user === user);
    if (user !== o.user()) return;
    const have = new Map(layers.map((l) => [l.key, l]));
    // Of what was put here meanwhile the answer will tell.
    const there = (l: Layer) => owners.has(l.key) || kept.some((k) => k.key === l.key);
    layers = layers.filter((l) => l.n === undefined || l.done || there(l));
    for (const k of kept) if (!have.has(k.key) && !ended.has(k.key)) layers.push(k);
    layers.sort((a, b) => (a.n ?? Infinity) - (b.n ?? Infinity) || a.time - b.time);
    tell();
    if (kept.length) send();
  }

  async function send() {
    more = true;
    if (busy) return;
    busy = true;
    let failed = 0;
    while (more) {
      more = false;
      const p = await only(pass).catch(() => undefined);
      down = !!p;
      if (!p) {
        failed = 0;
        continue;
      }
      more = true;
      layers.forEach((l) => (l.waited = true));
      await new Promise<void>((go) => {
        wake = go;
        setTimeout(go, pause(p, failed++));
      });
    }
    busy = false;
  }

  /** pass sends all there is, and returns the problem that stops it for a while. */
  async function pass(): Promise<Problem | undefined> {
    const user = o.user();
    let sure = false;
    for (;;) {
      const all: Layer[] = (await o.shelf.entries()).filter((e) => e.user === user);
      if (!all.length || user !== o.user()) return;
      for (const e of all) {
        if (user !== o.user()) return;
        // What waited, or was written in another tab, is sent only as who wrote it: nobody
        // else can sign in before it is sent, but somebody may have done so meanwhile.
        if (!sure && (!owners.has(e.key) || layers.some((l) => l.key === e.key && l.waited))) {
          const known = await o.known();
          if (known === undefined) return offline();
          if (known !== user) return;
          sure = true;
        }
        let answer: Answer | undefined, problem: Problem | undefined;
        try {
          answer = await o.link.once({ ...askOf(e, e.key), limit: tryTime });
        } catch (x) {
          problem = x as Problem;
          if (passing(problem)) return problem;
          if (problem.status === 401 && e.user) return; // until the same user signs in again
        }
        if (!(await o.shelf.take(e.n!))) continue; // another tab has told it
        const tell = !owners.has(e.key) || layers.find((l) => l.key === e.key)?.waited;
        const end = {
          key: e.key, at: answer?.at, body: answer?.body, change: changeOf(e), tell,
          problem: problem && { ...problem, title: problem.message },
        };
        tabs?.postMessage(end);
        settle(end);
      }
    }
  }

  function settle(end: any) {
    const l = layers.find((l) => l.key === end.key);
    const owner = owners.get(end.key);
    owners.delete(end.key);
    if (ended.size > 1000) ended.clear();
    ended.add(end.key);
    if (l) {
      l.at = end.at;
      l.done = true;
      if (end.problem || !end.at) layers = layers.filter((x) => x !== l);
    }
    if (end.problem) {
      const p = new Problem(end.problem);
      if (end.tell) refused.tell(p, end.change);
      owner?.fail(p);
    } else owner?.done(end.body);
    o.heard(end.body);
    tell();
    if (end.at) o.landed(end.at);
  }

  if (tabs) tabs.onmessage = (e) => (e.data ? settle(e.data) : read());

  return {
    layers: () => layers,
    read,
    /** go tries at once, as the line may be back. */
    go() {
      wake?.();
      if (pending.length) send();
    },
    only,

    /** show shows changes until hide takes them away, or the place at is reached. */
    show(some: Change[]): (at?: string) => void {
      const shows = plain(some);
      const l: Layer = { kind: "action", name: "", key: makeKey(), user: o.user(), time: Date.now(), shows };
      layers = [...layers, l];
      o.shown();
      return (at) => {
        l.at = at;
        l.done = true;
        if (!at) layers = layers.filter((x) => x !== l);
        o.shown();
        if (at) o.landed(at);
      };
    },

    /** drop forgets layers that the server shows by itself now. */
    drop(reached: (l: Layer) => boolean) {
      layers = layers.filter((l) => !(l.at && reached(l)));
    },

    /** put queues a change and yields what the server answers, whenever that may be. */
    put(given: Change, shown?: Change[], key = makeKey()): Promise<any> {
      if (layers.length >= layerMax) {
        const title = `${layerMax} changes wait to be sent, which is the most.`;
        return Promise.reject(new Problem({ code: "too_large", status: 413, title }));
      }
      const change = plain(given);
      const shows = shown ? plain(shown) : [change];
      const l: Layer = { ...change, key, user: o.user(), time: Date.now(), shows };
      const entry = { ...l };
      l.waited = down || o.link.isDown();
      const answer = new Promise<any>((done, fail) => owners.set(key, { done, fail }));
      layers = [...layers, l];
      tell();
      o.shelf.add(entry).then((n) => {
        l.n = n;
        tabs?.postMessage(undefined);
        tell();
        send();
      }, (e) => settle({ key, problem: { code: "offline", status: 0, title: String(e) }, change }));
      return answer;
    },

    /** leave forgets what is shown for one user, as another has come. */
    leave() {
      layers = [];
      read();
    },

    api: {
      get pending(): readonly Change[] {
        return pending;
      },
      onChange(fn: (pending: readonly Change[]) => void) {
        fn(pending);
        return changed.add(fn);
      },
      onRefused: refused.add,
    },
  };
}

const changeOf = ({ kind, name, id, values, version }: Change): Change =>
  ({ kind, name, id, values, version });
