import type { Frame, Link } from "./link";
import { Problem } from "./problem";

interface Present { who: string; user?: any; state?: any }

type Reader = (...args: any[]) => void;

/** How often a state is sent at most, in milliseconds; what is between is left out. */
const stateTime = 50;

export type Channels = ReturnType<typeof makeChannels>;

/** makeChannels returns what joins channels, and joins them again after each break. */
export function makeChannels(link: Link) {
  const joined = new Map<string, Set<{ take(f: Frame): void; join(): void; lost(): void }>>();
  const each = (fn: (c: { take(f: Frame): void; join(): void; lost(): void }) => void) =>
    joined.forEach((all) => all.forEach(fn));

  link.add({
    opened: () => each((c) => c.join()),
    closed: () => each((c) => c.lost()),
    pushed: (f) => f.channel && joined.get(f.channel)?.forEach((c) => c.take(f)),
  });

  return function channel(name: string, options: { state?: any } = {}) {
    const readers: Record<string, Set<Reader>> = {};
    const stop = link.want();
    let state = options.state;
    let present: readonly Present[] = [];
    let problem: Problem | undefined;
    let sending: ReturnType<typeof setTimeout> | undefined;
    let sent = 0;
    const tell = (event: string, ...args: unknown[]) => [...(readers[event] ?? [])].forEach((fn) => fn(...args));
    const see = (next: readonly Present[]) => {
      present = next;
      tell("present", present);
    };

    const me = {
      async join() {
        try {
          const { ok } = await link.say({ join: name, state });
          problem = undefined;
          see(ok.present);
        } catch (e) {
          problem = e as Problem;
          if (problem.status) tell("ended", problem);
        }
      },
      lost: () => see([]),
      take(f: Frame) {
        if ("message" in f) tell("message", f.message, { who: f.from, user: f.user });
        else if (f.joined) {
          see([...present.filter((p) => p.who !== f.joined.who), f.joined]);
          tell("joined", f.joined);
        } else if (f.left) {
          const gone = present.find((p) => p.who === f.left);
          see(present.filter((p) => p.who !== f.left));
          if (gone) tell("left", gone);
        } else if (f.state) {
          see(present.map((p) => (p.who === f.state.who ? { ...p, state: f.state.value } : p)));
          tell("state", f.state.value, present.find((p) => p.who === f.state.who));
        } else if (f.ended) {
          problem = new Problem({ status: 403, title: "You are no longer in this channel.", ...f.ended });
          see([]);
          tell("ended", problem);
        }
      },
    };
    const all = joined.get(name) ?? new Set();
    joined.set(name, all.add(me));
    if (link.isOpen()) me.join();

    const face = {
      get present() {
        return present;
      },
      get problem() {
        return problem;
      },
      on(event: string, fn: Reader) {
        (readers[event] ??= new Set()).add(fn);
        return face;
      },
      off(event: string, fn: Reader) {
        readers[event]?.delete(fn);
        return face;
      },
      subscribe(fn: (present: readonly Present[]) => void) {
        face.on("present", fn);
        fn(present);
        return () => void face.off("present", fn);
      },
      send(message: unknown) {
        link.send({ send: name, message });
        return face;
      },
      state(value: unknown) {
        state = value;
        sending ??= setTimeout(() => {
          sending = undefined;
          sent = Date.now();
          link.send({ state: name, value: state });
        }, Math.max(0, sent + stateTime - Date.now()));
        return face;
      },
      leave() {
        clearTimeout(sending);
        all.delete(me);
        if (!all.size && joined.get(name) === all) {
          joined.delete(name);
          link.send({ leave: name });
        }
        see([]);
        stop();
      },
    };
    return face;
  };
}
