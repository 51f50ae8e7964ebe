// What the client decides by itself, so that a change is seen before the server has
// answered: in which order records stand, what a patch makes of one, and whether a filter
// holds. Where it cannot know it says so, and the server's answer is waited for.

export type Values = Record<string, any>;

/** span is the form of a duration as the server writes it. */
const span = /^-?(?:(?:(?:\d+h)?\d+m)?\d+(?:\.\d+)?s|\d+(?:\.\d+)?(?:ms|µs|ns))$/;
const units: Values = { h: 36e11, m: 6e10, s: 1e9, ms: 1e6, "µs": 1e3, ns: 1 };

/** lasts reads a duration as a number, and returns undefined for all other texts. */
function lasts(text: string): number | undefined {
  if (!span.test(text)) return;
  let n = 0;
  for (const [, m, unit] of text.matchAll(/([\d.]+)([a-zµ]+)/g)) n += +m! * units[unit!];
  return text[0] === "-" ? -n : n;
}

/** compare orders two values as the server does: null first, texts by their code points. */
function compare(a: any, b: any, spans?: boolean): number {
  if (a === b) return 0;
  if (a == null || b == null) return a == null ? (b == null ? 0 : -1) : 1;
  if (typeof a === "string" && typeof b === "string") {
    const [x, y] = spans ? [lasts(a), lasts(b)] : [];
    if (x !== undefined && y !== undefined) return x - y;
    // Surrogates stand for code points above all others, so they are moved there.
    for (let i = 0; ; i++) {
      const way = high(a.charCodeAt(i)) - high(b.charCodeAt(i));
      if (way) return way;
    }
  }
  return a < b ? -1 : a > b ? 1 : 0;
}

/** high places a code unit among code points; what is beyond the end comes first. */
const high = (c: number) => (c !== c ? -1 : c >= 0xe000 ? c - 0x2000 : c >= 0xd800 ? c + 0x2000 : c);

type Order = (a: Values, b: Values) => number;

/**
 * by returns how to order records by what sort says, completed with the id. What reads like a
 * duration is taken for one, unless rows that the server has ordered show that it is a text.
 */
export function by(sort?: string, rows: Values[] = []): Order {
  const order = ordered(sort, true);
  return rows.every((r, i) => !i || order(rows[i - 1]!, r) < 0) ? order : ordered(sort);
}

function ordered(sort?: string, spans?: boolean): Order {
  const keys = [...(sort ? sort.split(",") : []), "id"].map((k): [string, number] =>
    k[0] === "-" ? [k.slice(1), -1] : [k, 1]);
  return (a, b) => {
    for (const [key, way] of keys) {
      const c = compare(a[key], b[key], spans);
      if (c) return c * way;
    }
    return 0;
  };
}

/** patched returns a record with a merge patch applied, operators as well. */
export function patched(record: Values, patch: Values): Values {
  const next = { ...record };
  for (const [name, v] of Object.entries(patch)) {
    const old = next[name];
    const [op, x] = (v && typeof v === "object" && Object.entries(v)[0]) || [];
    next[name] =
      op === "$add" ? (old ?? 0) + (x as number) :
      op === "$max" ? (old == null ? x : Math.max(old, x as number)) :
      op === "$min" ? (old == null ? x : Math.min(old, x as number)) :
      op === "$append" ? [...(old ?? []), x] :
      op === "$remove" ? old?.filter((item: unknown) => item !== x) ?? null :
      v;
  }
  return next;
}

/** plain turns dates in values into what the wire and the server's records hold. */
export const plain = <T>(v: T): T => JSON.parse(JSON.stringify(v));

const token = /\s*("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|[a-z_]\w*|&&|[=!<>]=|[<>!()]|\S)/giy;

/**
 * holds decides a filter for a record: true, false, or undefined where it is not known
 * here. It knows comparisons of fields with literals, joined by &&; all else is not known.
 */
export function holds(filter: string | undefined, record: Values): boolean | undefined {
  if (!filter) return true;
  const tokens = [...filter.matchAll(token)].map((m) => m[1]!);
  if (tokens.some((t) => t === "|" || t === "?" || t === "[" || t === "{")) return;
  let known: boolean | undefined = true;
  let part: string[] = [];
  let depth = 0;
  for (const t of [...tokens, "&&"]) {
    if (t === "(") depth++;
    if (t === ")") depth--;
    if (t === "&&" && !depth) {
      const one = single(part, record);
      if (one === false) return false;
      if (one === undefined) known = undefined;
      part = [];
    } else part.push(t);
  }
  return known;
}

function single(t: string[], record: Values): boolean | undefined {
  // A negative number is bound in brackets.
  if (t.length === 5 && t[2] === "(" && t[4] === ")") t = [t[0]!, t[1]!, t[3]!];
  const name = t[0] === "!" ? t[1]! : t[0]!;
  if (!(name in record)) return;
  const v = record[name];
  if (t.length === 1) return v === true;
  if (t[0] === "!") return t.length === 2 ? v === false : undefined;
  if (t.length !== 3) return;
  let x: any;
  try {
    x = JSON.parse(t[2]!);
  } catch {
    return; // no literal
  }
  if (t[1] === "==") return v === x;
  if (t[1] === "!=") return v !== x;
  if (v == null || typeof v !== typeof x) return v == null ? false : undefined;
  const c = compare(v, x);
  switch (t[1]) {
    case "<": return c < 0;
    case "<=": return c <= 0;
    case ">": return c > 0;
    case ">=": return c >= 0;
  }
}

const digits = "0123456789abcdefghjkmnpqrstvwxyz";
let time = 0, count = 0;

/** makeID returns an id that rises with those made before it, as the server makes them. */
export function makeID(): string {
  const now = Date.now();
  if (now > time) [time, count] = [now, 0];
  else if (++count > 4095) [time, count] = [time + 1, 0];
  const b = crypto.getRandomValues(new Uint8Array(13));
  let id = "";
  for (let i = 9; i >= 0; i--) id += digits[Math.floor(time / 32 ** i) % 32];
  // The version 7, the count, the variant, and 62 bits of chance.
  for (const n of [14 | (count >> 11), count >> 6, count >> 1, (count << 4) | 8 | (b[0]! & 3), ...b.slice(1)])
    id += digits[n & 31];
  return id;
}

/** makeKey returns an idempotency key that nobody can guess. */
export const makeKey = () => makeID() + makeID();
