// A server that is not there: what the client sends arrives here, and what a test says comes
// back. It keeps the frames of product's socket and nothing else.

export type Frame = Record<string, any>;

/** Said is one request over HTTP. */
export interface Said { method: string; path: string; body: any; key?: string | null; version?: string | null }

export class World {
  /** The sockets that were opened, the newest last. */
  sockets: FakeSocket[] = [];
  /** What was asked over HTTP. */
  asked: Said[] = [];
  /** Whether anything arrives. */
  line = true;
  /** Answers to HTTP. */
  answer: (s: Said) => { status: number; body?: any; headers?: Record<string, string> } = () => ({ status: 404, body: { code: "not_found", status: 404, title: "Nothing." } });
  /** Answers to frames with an id; nothing is answered for undefined. */
  reply: (f: Frame, s: FakeSocket) => Frame | undefined = () => ({ ok: {} });

  get socket(): FakeSocket {
    return this.sockets[this.sockets.length - 1]!;
  }

  fetch = async (input: URL | RequestInfo, init: RequestInit = {}): Promise<Response> => {
    await tick();
    if (!this.line) throw new TypeError("no line");
    const url = new URL(String(input));
    const headers = new Headers(init.headers);
    const said: Said = {
      method: init.method!, path: url.pathname + url.search, body: init.body ? JSON.parse(String(init.body)) : undefined,
      key: headers.get("idempotency-key"), version: headers.get("if-match"),
    };
    this.asked.push(said);
    const a = this.answer(said);
    await tick();
    if (!this.line) throw new TypeError("the line broke");
    return new Response(a.body === undefined ? null : JSON.stringify(a.body), { status: a.status, headers: a.headers ?? {} });
  };

  /** cut breaks the line. */
  cut() {
    this.line = false;
    this.socket?.lose(1006);
  }
}

export class FakeSocket {
  /** The worlds by their hosts. */
  static worlds = new Map<string, World>();
  private readonly world: World;
  onopen?: () => void;
  onmessage?: (e: { data: string }) => void;
  onclose?: ((e: { code: number }) => void) | null;
  /** The frames that came. */
  got: Frame[] = [];
  open = false;

  constructor(readonly url: string | URL, readonly protocol: string) {
    this.world = FakeSocket.worlds.get(new URL(url).host)!;
    this.world.sockets.push(this);
    tick().then(() => {
      if (!this.world.line) return this.lose(1006);
      this.open = true;
      this.onopen?.();
    });
  }

  send(text: string) {
    if (!this.open) throw new Error("it is not open");
    const f: Frame = JSON.parse(text);
    this.got.push(f);
    if (f.id === undefined) return;
    tick().then(() => {
      // Who is signed in is the same over both ways.
      const r = f.path === "/api/auth/session" ? this.session(f) : this.world.reply(f, this);
      if (r && this.open) this.push({ id: f.id, ...r });
    });
  }

  private session(f: Frame): Frame {
    const { status, body } = this.world.answer({ method: f.method, path: f.path, body: f.body });
    return status < 400 ? { status, body } : { status, problem: body };
  }

  close() {
    this.open = false;
  }

  push(f: Frame) {
    this.onmessage?.({ data: JSON.stringify(f) });
  }

  lose(code: number) {
    this.open = false;
    this.onclose?.({ code });
  }
}

export const tick = () => new Promise<void>((go) => setTimeout(go, 1));

/** until waits for something to hold. */
export async function until(what: string, holds: () => unknown) {
  for (let i = 0; i < 2500; i++) {
    if (holds()) return;
    await new Promise((go) => setTimeout(go, 2));
  }
  throw new Error("this never came true: " + what);
}

export function equal(got: unknown, want: unknown, what = "") {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) throw new Error(`${what}: got ${a}, want ${b}`);
}
