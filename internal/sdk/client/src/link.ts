import { hearers } from "./hear";
import { Problem, offline, passing, pause } from "./problem";

/** One call of the API, the same over both ways. */
export interface Ask {
  method: string;
  path: string;
  body?: unknown;
  key?: string;
  version?: number;
  /** Whether it must go over HTTP, because its answer sets a cookie. */
  http?: boolean;
  /** Whether nobody needs to hear that it failed. */
  still?: boolean;
  /** After how many milliseconds without an answer it may be asked again. */
  limit?: number;
}

export interface Answer {
  body: any;
  /** The place in the journal of what was written. */
  at?: string;
}

export type Frame = Record<string, any>;

type State = "live" | "offline";

/** What the link tells those who hold subscriptions. */
export interface Listener {
  opened(): void;
  closed(): void;
  pushed(frame: Frame): void;
}

/** The most bytes of a call that goes over the socket; it takes 64 KB. */
const frameMax = 60_000;
/** How often a call is tried, how long it waits for the socket, and how long silence may last. */
const tries = 7;
const openTime = 2000;
const silenceTime = 60_000;
const idleTime = 30_000;

export type Link = ReturnType<typeof makeLink>;

/** makeLink returns the way to the server: one socket while something is live, else HTTP. */
export function makeLink(base: URL, fetcher: typeof fetch) {
  const listeners: Listener[] = [];
  const waiting = new Map<number, { done(f: Frame): void; fail(p: Problem): void }>();
  const ended = hearers();
  const watchers = hearers<[State]>();
  let state: State = "live";
  let socket: WebSocket | undefined;
  let open = false;
  let down = false;
  let wanted = 0;
  let failed = 0;
  let last = 0;
  let heard = 0;
  let watch: ReturnType<typeof setInterval> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let opening: Array<() => void> = [];
  let stopped = false;
  let dev = false;

  const link = {
    token: undefined as string | undefined,
    isOpen: () => open,

    /** isDown reports that the socket was lost, or could not be opened. */
    isDown: () => wanted > 0 && down,

    /** add has a listener told of the socket. */
    add: (l: Listener) => void listeners.push(l),

    /** ended has a function called when the server says that the session is over. */
    ended: ended.add,

    /** api is what pages see: whether the last that was tried arrived. */
    api: {
      get state() {
        return state;
      },
      subscribe(fn: (state: State) => void) {
        fn(state);
        return watchers.add(fn);
      },
    },

    /** want keeps the socket open until what it returns is called. */
    want(): () => void {
      wanted++;
      connect();
      let held = true;
      return () => {
        if (!held) return;
        held = false;
        wanted--;
        setTimeout(() => wanted || drop(), idleTime);
      };
    },

    /** again leaves the socket for a fresh one, as who asks has changed. */
    again() {
      stopped = false;
      failed = 0;
      drop();
      connect();
    },

    send(frame: Frame) {
      if (open) socket!.send(JSON.stringify(frame));
    },

    /** say sends a frame and returns what is answered to it. */
    say(frame: Frame): Promise<Frame> {
      if (!open) return Promise.reject(offline());
      const id = ++last;
      return new Promise((done, fail) => {
        waiting.set(id, { done, fail });
        link.send({ id, ...frame });
      });
    },

    /** once asks one time. All that can go wrong is a Problem. */
    async once(ask: Ask): Promise<Answer> {
      if (!ask.http && socket && !open) {
        // It will open soon, or fail soon.
        await new Promise<void>((go) => {
          opening.push(go);
          setTimeout(go, openTime);
        });
      }
      try {
        return open && !ask.http && size(ask.body) < frameMax ? await overSocket(ask) : await overHTTP(ask);
      } catch (e) {
        const p = e as Problem;
        if (p.status === 401 && !ask.path.startsWith("/api/auth/")) ended.tell();
        if (dev && p.status && !ask.still)
          console.info(`galley: ${ask.method} ${ask.path}: ${p.code}. ${p.detail ?? p.message}${p.request ? ` (galley why ${p.request})` : ""}`);
        throw p;
      }
    },

    /** ask asks until there is an answer, or nothing would change by asking again. */
    async ask(ask: Ask): Promise<Answer> {
      for (let n = 0; ; n++) {
        try {
          return await link.once(ask);
        } catch (e) {
          const p = e as Problem;
          const wait = pause(p, n);
          if (!passing(p) || n + 1 >= tries || wait > 20_000) throw p;
          await new Promise((go) => setTimeout(go, wait));
        }
      }
    },
  };

  async function overSocket(ask: Ask): Promise<Answer> {
    const f = await link.say({
      method: ask.method, path: ask.path, body: ask.body, key: ask.key, if_match: ask.version,
    });
    return { body: f.body, at: f.at };
  }

  async function overHTTP(ask: Ask): Promise<Answer> {
    const headers: Record<string, string> = {};
    if (ask.body !== undefined) headers["content-type"] = "application/json";
    if (ask.key) headers["idempotency-key"] = ask.key;
    if (ask.version) headers["if-match"] = `"${ask.version}"`;
    if (link.token) headers["authorization"] = "Bearer " + link.token;
    let r: Response, text: string;
    try {
      r = await fetcher(new URL(ask.path, base), {
        method: ask.method, headers, body: ask.body === undefined ? null : JSON.stringify(ask.body),
        signal: ask.limit ? AbortSignal.timeout(ask.limit) : null,
      });
      text = await r.text();
    } catch {
      wanted || tell("offline");
      throw offline();
    }
    wanted || tell("live");
    dev ||= r.headers.has("server-timing");
    let body: any = text || undefined;
    try {
      body = text ? JSON.parse(text) : undefined;
    } catch { } // of another server, behind a proxy
    if (r.ok) return { body, at: r.headers.get("galley-at") ?? undefined };
    const after = Number(r.headers.get("retry-after")) || undefined;
    throw new Problem(body?.code ? body : strange(r.status), after);
  }

  function connect() {
    clearTimeout(timer);
    if (socket || !wanted || stopped || typeof WebSocket === "undefined") return;
    const url = new URL("/api/ws", base);
    url.protocol = url.protocol.replace("http", "ws");
    const s = (socket = new WebSocket(url, "galley.v1"));
    s.onopen = async () => {
      if (s !== socket) return;
      heard = Date.now();
      open = true;
      down = false;
      tell("live");
      watch = setInterval(wake, silenceTime / 3);
      if (link.token) link.send({ id: ++last, auth: link.token });
      listeners.forEach((l) => l.opened());
      release();
    };
    s.onmessage = (e) => {
      if (s === socket) receive(JSON.parse(e.data));
    };
    s.onclose = (e) => {
      if (s !== socket) return;
      lost();
      tell("offline");
      if (e.code === 4401) ended.tell();
      stopped = e.code === 4400 || e.code === 4403;
      retry(again);
      again = 0;
    };
  }

  let again = 0;

  function receive(f: Frame) {
    heard = Date.now();
    failed = 0;
    if (f.id !== undefined) {
      const w = waiting.get(f.id);
      waiting.delete(f.id);
      if (f.problem || f.status >= 400) w?.fail(new Problem(f.problem ?? strange(f.status), f.retry_after));
      else w?.done(f);
    } else if (f.closing) again = f.closing.reconnect_in ?? 0;
    else if (Object.keys(f).length) listeners.forEach((l) => l.pushed(f));
    else link.send({});
  }

  /** lost ends what went over the socket: who waits for an answer asks again. */
  function lost() {
    clearInterval(watch);
    socket = undefined;
    open = false;
    down = true;
    const all = [...waiting.values()];
    waiting.clear();
    all.forEach((w) => w.fail(offline()));
    release();
    listeners.forEach((l) => l.closed());
  }

  function release() {
    const all = opening;
    opening = [];
    all.forEach((go) => go());
  }

  function retry(ms: number) {
    clearTimeout(timer);
    timer = setTimeout(connect, ms || pause(undefined, failed++));
  }

  function drop() {
    const s = socket;
    if (!s) return;
    lost();
    s.onclose = null;
    s.close();
  }

  /** tell notes how the line is. What a socket says of it counts for more than single calls. */
  function tell(next: State) {
    if (state === next) return;
    state = next;
    watchers.tell(next);
  }

  /** wake looks whether the line is what it seems, after the page or the network slept. */
  function wake(e?: Event) {
    if (e?.type === "offline") tell("offline");
    if (!wanted) return e?.type === "online" ? tell("live") : undefined;
    if (e?.type === "offline" || (open && Date.now() - heard > silenceTime)) drop();
    failed = 0;
    if (!socket) retry(e?.type === "offline" ? 0 : 1);
  }

  if (typeof addEventListener === "function") {
    addEventListener("online", wake);
    addEventListener("offline", wake);
    addEventListener("pageshow", wake);
    addEventListener("visibilitychange", wake, true);
  }
  return link;
}

/** strange is what stands for an answer of somebody else; a gateway's 502 is no server's. */
const strange = (status: number) => ({
  code: status === 502 ? "unavailable" : "internal", status: status === 502 ? 503 : status,
  title: `The answer has the status ${status}.`,
});

const size = (body: unknown) => (body === undefined ? 0 : new Blob([JSON.stringify(body)]).size);
