import { hearers } from "./hear";
import type { Answer, Link } from "./link";
import { type Problem, passing, pause } from "./problem";

interface User { id: string; [field: string]: unknown }

export type Auth = ReturnType<typeof makeAuth>;

/**
 * makeAuth returns who is signed in. The session is a cookie that no script can read; what
 * is kept here is who it was, so that a page knows it at once and while offline.
 */
export function makeAuth(o: {
  link: Link; name: string;
  /** Whether the server is another origin's, to which cookies are not sent. */
  tokens: boolean;
  only<T>(fn: () => Promise<T>): Promise<T>;
  changed(): void;
}) {
  const readers = hearers<[User | null]>();
  const store = globalThis.localStorage as Storage | undefined;
  let user: User | null | undefined = read();
  let asked: Promise<void> | undefined;
  let again: ReturnType<typeof setTimeout> | undefined;
  let failed = 0;

  /** read is who was signed in last, null for nobody, undefined if that was never known. */
  function read(): User | null | undefined {
    try {
      return JSON.parse(store?.getItem(o.name) ?? "0") || undefined;
    } catch { }
    return undefined;
  }

  function set(next: User | null, told?: boolean) {
    const was = user;
    user = next;
    if (!told) {
      try {
        if (next) store?.setItem(o.name, JSON.stringify(next));
        else store?.removeItem(o.name);
      } catch { } // there is no room, or it is not allowed: the session counts
    }
    if (was?.id !== next?.id) o.changed();
    if (was === undefined || JSON.stringify(was) !== JSON.stringify(next)) readers.tell(next);
  }

  /**
   * know asks the server who we are, once. It throws while that cannot be known, and asks again
   * by itself.
   */
  const know = (): Promise<void> =>
    (asked ??= o.link.once({ method: "GET", path: "/api/auth/session", still: true }).then(
      (a) => set(a.body.user),
      (p: Problem) => {
        if (p.status === 401 || p.status === 404) return set(null);
        asked = undefined;
        clearTimeout(again);
        if (passing(p)) again = setTimeout(() => know().catch(() => {}), pause(p, failed++));
        throw p;
      }));

  const post = (path: string, body?: unknown, method = "POST") =>
    o.link.ask({ method, path: "/api/auth/" + path, body, http: true });

  function come(path: string, input: object) {
    return o.only(async () => {
      const { body }: Answer = await post(path, o.tokens ? { ...input, token: true } : input);
      if (!body?.user) return null;
      o.link.token = body.token;
      asked = Promise.resolve();
      const same = user?.id === body.user.id;
      set(body.user);
      if (same) o.link.again();
      return body.user as User;
    });
  }

  /** gone notes that the session has ended, however that came. */
  function gone() {
    o.link.token = undefined;
    asked = Promise.resolve();
    set(null);
  }

  o.link.ended(() => {
    if (!user) return;
    // The answer takes the cookie away, if the session has really ended.
    asked = undefined;
    know().catch(() => {});
  });
  globalThis.addEventListener?.("storage", (e: StorageEvent) => {
    if (e.key === o.name) {
      asked = undefined;
      set(read() ?? null, true);
    }
  });

  return {
    id: () => user?.id ?? "",
    /** known is the id of the user whom the server knows now, undefined if it cannot say. */
    known() {
      asked = undefined;
      return know().then(() => user?.id ?? "", () => undefined);
    },
    know,
    /** see takes over what was heard of the user's own record. */
    see(r?: any) {
      if (user && r?.id === user.id && r.version > (user.version as number)) set({ ...user, ...r, expand: undefined });
    },
    api: {
      get user(): User | null {
        know().catch(() => {});
        return user ?? null;
      },
      onChange(fn: (user: User | null) => void) {
        if (user !== undefined) fn(user);
        know().catch(() => {});
        return readers.add(fn);
      },
      signUp: (input: object) => come("sign-up", input),
      signIn: (input: object) => come("sign-in", input),
      signOut: () =>
        o.only(async () => {
          await post("sign-out").catch((p: Problem) => {
            if (p.status !== 401) throw p;
          });
          gone();
        }),
      sessions: async () => (await o.link.ask({ method: "GET", path: "/api/auth/sessions" })).body.items,
      endSession: async (id: string) => void (await post("sessions/" + encodeURIComponent(id), undefined, "DELETE")),
      changePassword: async (input: object) => void (await post("password", input, "PUT")),
      deleteAccount: async () => {
        await post("account", undefined, "DELETE");
        gone();
      },
    },
  };
}
