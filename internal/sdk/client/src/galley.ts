import { makeAuth } from "./auth";
import { cel } from "./cel";
import { makeChannels } from "./channel";
import { makeLink } from "./link";
import { makeLives, type Query } from "./live";
import { makeID, makeKey } from "./order";
import { askOf, makeOutbox, type Change } from "./outbox";
import { Problem } from "./problem";
import { makeShelf } from "./shelf";

export { cel, Problem };

interface List extends Query { cursor?: string; total?: boolean }

let first: any;

/** ours is the API that this page made first. */
export const ours = () => (first ??= galley());

/** galley returns the API of an app, at the origin of the page if no other is given. */
export function galley(options: { url?: string; fetch?: typeof fetch } = {}): any {
  const here = globalThis.location?.href;
  const base = new URL(options.url ?? "/", here);
  const link = makeLink(base, options.fetch ?? ((...args) => fetch(...args)));
  const other = base.origin !== globalThis.location?.origin;
  const name = "galley" + (other ? " " + base.origin : "");
  const shelf = makeShelf(name);
  const auth = makeAuth({
    link, name: name + " user", tokens: other,
    only: (fn) => outbox.only(fn),
    changed() {
      outbox.leave();
      lives.reset();
      link.again();
      shelf.forget(auth.id()).catch(() => {});
    },
  });
  const outbox = makeOutbox({
    link, shelf, name: name + " outbox", user: auth.id, known: auth.known,
    shown: () => lives.redraw(), heard: auth.see, landed: (at) => lives.check(at),
  });
  const lives = makeLives({ link, shelf, outbox: () => outbox, user: auth.id, heard: auth.see });
  const channel = makeChannels(link);
  link.add({ opened: outbox.go, closed() {}, pushed() {} });
  globalThis.addEventListener?.("online", outbox.go);
  outbox.read();

  const get = async (path: string, query?: Record<string, unknown>) =>
    (await link.ask({ method: "GET", path: path + search(query) })).body;

  const collection = (name: string) => {
    const path = "/api/" + name;
    const one = (id: string) => path + "/" + encodeURIComponent(id);
    const list = (q?: List) => get(path, { ...q });
    return {
      collection: name,
      get: (id: string, q?: { expand?: string[] }) => get(one(id), { ...q }),
      list,
      async *all(q: List = {}) {
        for (let cursor = q.cursor; ; ) {
          const page = await list({ limit: 500, ...q, cursor });
          yield* page.items;
          if (!(cursor = page.next)) return;
        }
      },
      live: (q?: Query) => lives.live(name, q),
      create: ({ id = makeID(), ...values }: { id?: string }) => outbox.put({ kind: "create", name, id, values }),
      update: (id: string, values: object, o: { version?: number } = {}) =>
        outbox.put({ kind: "update", name, id, values, version: o.version }),
      delete: (id: string, o: { version?: number } = {}) =>
        outbox.put({ kind: "delete", name, id, version: o.version }),
    };
  };

  /** local gathers what an action is shown as before it is answered. */
  function local(optimistic?: (local: any) => void): Change[] {
    const shows: Change[] = [];
    optimistic?.(names((name) => ({
      create: ({ id = makeID(), ...values }: { id?: string }) => shows.push({ kind: "create", name, id, values }),
      update: (id: string, values: object) => shows.push({ kind: "update", name, id, values }),
      delete: (id: string) => shows.push({ kind: "delete", name, id }),
    })));
    return shows;
  }

  const action = (name: string) =>
    async (values?: unknown, o: { key?: string; optimistic?: (local: any) => void; offline?: boolean } = {}) => {
      const change: Change = { kind: "action", name, values };
      const shows = local(o.optimistic);
      const key = o.key ?? makeKey();
      if (o.offline) return outbox.put(change, shows, key);
      const hide = shows.length ? outbox.show(shows) : undefined;
      try {
        const { body, at } = await link.ask(askOf(change, key));
        hide?.(at);
        return body;
      } catch (e) {
        hide?.();
        throw e;
      }
    };

  const proxy = (name: string) =>
    async (path: string, query?: Record<string, unknown>, { method, body }: { method?: string; body?: unknown } = {}) =>
      (await link.ask({
        method: method ?? (body === undefined ? "GET" : "POST"), body, http: true,
        path: `/api/proxy/${name}/${path}` + search(query),
      })).body;

  const own: Record<string, unknown> = {
    auth: auth.api,
    outbox: outbox.api,
    line: link.api,
    channel,
    actions: names(action),
    proxy: names(proxy),

    async batch(changes: any[], o: { key?: string } = {}) {
      const requests = changes.map((c) => {
        const kind = (["create", "update", "delete", "action"] as const).find((k) => k in c)!;
        const values = kind === "action" ? c.input : c.values;
        const { method, path, body, version } =
          askOf({ kind, name: c[kind], id: c.id, values, version: c.version }, "");
        return { method, path, body, if_match: version };
      });
      const key = o.key ?? makeKey();
      const { body } = await link.ask({ method: "POST", path: "/api/batch", body: { requests }, key });
      return body.responses.map((r: { body?: unknown }) => r.body);
    },

    jobs: {
      async follow(id: string, progress?: (p: { done: number; total: number }) => void) {
        for (let before = ""; ; ) {
          const job = await get("/api/jobs/" + encodeURIComponent(id));
          const now = JSON.stringify(job.progress);
          if (job.progress && now !== before) progress?.(job.progress);
          before = now;
          if (job.state === "done") return job.result;
          if (job.state === "failed") throw new Problem({ status: 409, code: "failed", ...job.problem });
          await new Promise((go) => setTimeout(go, 1000));
        }
      },
      cancel: async (id: string) =>
        void (await link.ask({ method: "DELETE", path: "/api/jobs/" + encodeURIComponent(id) })),
    },
  };

  const api = names(collection, own);
  first ??= api;
  return api;
}

/** search writes parameters as the query of an address, none if there are none. */
function search(query: Record<string, unknown> = {}): string {
  const q = Object.entries(query).filter(([, v]) => v !== undefined).map(([k, v]) => [k, String(v)]);
  return q.length ? "?" + new URLSearchParams(q) : "";
}

/**
 * names makes of each name asked for what the function says, once. What cannot be a name, and
 * then, which would make a promise of it, is what every object has.
 */
function names(make: (name: string) => unknown, made: Record<string, unknown> = {}): any {
  return new Proxy(made, {
    get(_, name) {
      const word = String(name);
      if (word !== "then" && /^[a-z][a-z\d_]*$/.test(word) && !Object.hasOwn(made, word))
        made[word] = make(word);
      return (made as any)[name];
    },
  });
}
