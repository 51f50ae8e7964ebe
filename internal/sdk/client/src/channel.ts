import type { Frame, Link } from "./link";
import { Problem, passing } from "./problem";

interface Present { who: string; user?: any; state?: any; self?: true }

/** A channel that the page is in, however many have asked for it. */
interface Room {
  readers: Set<[object, string, (...args: any[]) => void]>;
  faces: Set<object>;
  /** What the page shows of itself, who it is, and who is there. */
  state: any;
  self?: string;
  present: readonly Present[];
  problem?: Problem;
  sending?: ReturnType<typeof setTimeout>;
  sent: number;
}

/** How often a state is sent at most, in milliseconds; what is between is left out. */
const stateTime = 50;

/** makeChannels returns what joins channels, and joins them again after each break. */
export function makeChannels(link: Link) {
  const rooms = new Map<string, Room>();

  link.add({
    opened: () => rooms.forEach(join),
    closed: () => rooms.forEach((r) => see(r, [])),
    pushed(f) {
      const r = rooms.get(f.channel);
      if (r) take(r, f.channel, f);
    },
  });

  function tell(r: Room, event: string, ...args: unknown[]) {
    for (const [, of, fn] of [...r.readers]) if (of === event) fn(...args);
  }

  /** see takes over who is there. Of itself the page knows best what it shows. */
  function see(r: Room, next: readonly Present[]) {
    r.present = next.map((p) => (p.who === r.self ? { ...p, state: r.state, self: true } : p));
    tell(r, "present", r.present);
  }

  async function join(r: Room, name: string) {
    try {
      const { ok } = await link.say({ join: name, state: r.state });
      r.problem = undefined;
      r.self = ok.who;
      see(r, ok.present);
    } catch (e) {
      if ((e as Problem).status) end(r, name, e as Problem); // else it is joined when the line is back
    }
  }

  /** end notes that the page is not in a channel; it asks again where that may help. */
  function end(r: Room, name: string, p: Problem) {
    r.problem = p;
    see(r, []);
    if (!passing(p)) return tell(r, "ended", p);
    setTimeout(() => link.isOpen() && rooms.get(name) === r && join(r, name), 1000 * (p.after ?? 1));
  }

  function take(r: Room, name: string, f: Frame) {
    const who = f.joined?.who ?? f.left ?? f.state?.who;
    const was = r.present.find((p) => p.who === who);
    const put = (next: Present) => see(r, r.present.map((p) => (p === was ? next : p)));
    if ("message" in f) tell(r, "message", f.message, { who: f.from, user: f.user });
    else if (f.ended) {
      const status = f.ended.code === "unavailable" ? 503 : 403;
      end(r, name, new Problem({ status, title: "You are no longer in this channel.", ...f.ended }));
    } else if (f.joined) {
      if (was) return put(f.joined);
      see(r, [...r.present, f.joined]);
      tell(r, "joined", f.joined);
    } else if (was && f.left) {
      see(r, r.present.filter((p) => p !== was));
      tell(r, "left", was);
    } else if (was) {
      const next = { ...was, state: f.state.value };
      put(next);
      tell(r, "state", next.state, next);
    }
  }

  /** show tells the others what the page shows of itself. */
  function show(r: Room, name: string, state: any) {
    r.state = state;
    see(r, r.present);
    r.sending ??= setTimeout(() => {
      r.sending = undefined;
      r.sent = Date.now();
      link.send({ state: name, value: r.state });
    }, Math.max(0, r.sent + stateTime - Date.now()));
  }

  return function channel(name: string, { state }: { state?: any } = {}) {
    const stop = link.want();
    let r = rooms.get(name)!;
    if (r) state !== undefined && show(r, name, state);
    else {
      r = { readers: new Set(), faces: new Set(), state, present: [], sent: 0 };
      rooms.set(name, r);
      if (link.isOpen()) join(r, name);
    }
    const face = {
      get present() {
        return r.present;
      },
      get problem() {
        return r.problem;
      },
      on(event: string, fn: (...args: any[]) => void) {
        r.readers.add([face, event, fn]);
        return face;
      },
      off(event: string, fn: (...args: any[]) => void) {
        for (const x of r.readers) if (x[0] === face && x[1] === event && x[2] === fn) r.readers.delete(x);
        return face;
      },
      subscribe(fn: (present: readonly Present[]) => void) {
        face.on("present", fn);
        fn(r.present);
        return () => void face.off("present", fn);
      },
      send(message: unknown) {
        link.send({ send: name, message });
        return face;
      },
      state(value: unknown) {
        show(r, name, value);
        return face;
      },
      leave() {
        if (!r.faces.delete(face)) return;
        for (const x of r.readers) if (x[0] === face) r.readers.delete(x);
        stop();
        if (r.faces.size) return;
        clearTimeout(r.sending);
        rooms.delete(name);
        link.send({ leave: name });
      },
    };
    r.faces.add(face);
    return face;
  };
}
