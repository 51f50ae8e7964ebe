// Talks to the app's API. Everything that does not succeed is thrown as a Problem.

export class Problem extends Error {
  constructor(body, status) {
    super(body.errors?.[0] ? fieldOf(body.errors[0]) : body.title ?? "Something went wrong.");
    this.status = status;
    this.code = body.code ?? "unreachable";
    this.errors = body.errors ?? [];
  }
}

const fieldOf = ({ pointer, detail }) => {
  const name = (pointer ?? "").split("/").at(-1);
  return name ? `${name[0].toUpperCase()}${name.slice(1)} ${detail}.` : `${detail}.`;
};

async function call(method, path, { query, body, key } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  let answer;
  let value = null;
  try {
    answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (text) value = JSON.parse(text);
  } catch {
    throw new Problem({ title: "The harbour cannot be reached." }, 0);
  }
  if (!answer.ok) throw new Problem(value ?? {}, answer.status);
  return value;
}

export const get = (path, query) => call("GET", path, { query });
export const patch = (path, body) => call("PATCH", path, { body });
export const drop = (path) => call("DELETE", path);

// post sends what must happen once: the key makes a repetition harmless.
export const post = (path, body, key = crypto.randomUUID()) => call("POST", path, { body, key });

// text writes a value into a filter.
export const text = (value) => JSON.stringify(value);

// Who is signed in, and what it means for the page.
export const me = { user: null };

export async function recall() {
  try {
    me.user = (await get("/api/auth/session")).user;
  } catch (e) {
    if (e.status !== 401) throw e;
    me.user = null;
  }
}

export async function enter(way, fields) {
  me.user = (await call("POST", `/api/auth/${way}`, { body: fields })).user;
}

export async function leave() {
  await call("POST", "/api/auth/sign-out");
  me.user = null;
}
