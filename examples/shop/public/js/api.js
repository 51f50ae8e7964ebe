// Talks to the shop's API. Everything that does not succeed is thrown as a Problem that is
// fit to be shown.

// A Problem is an answer that says no, or the lack of an answer.
export class Problem extends Error {
  constructor(body, status, headers) {
    super(body.title ?? "Something went wrong.");
    this.name = "Problem";
    this.status = status;
    this.code = body.code ?? "unreachable";
    this.detail = body.detail ?? "";
    this.errors = body.errors ?? [];
    this.data = body.data ?? {};
    this.request = body.request ?? headers?.get("request-id") ?? "";
    this.wait = Number(headers?.get("retry-after") ?? 0);
  }

  // open says that it is not known what became of the request, or that it has not run yet:
  // sending it again under the same key is then right, and harmless.
  get open() {
    return (
      this.status === 0 || this.status >= 500 || this.status === 429 || this.code === "in_progress"
    );
  }
}

async function call(method, path, { query, body, key } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  let answer, text;
  try {
    answer = await fetch(url, { method, headers, body: JSON.stringify(body) });
    text = await answer.text();
  } catch {
    throw new Problem({ title: "The shop cannot be reached." }, 0);
  }
  let value = null;
  try {
    if (text) value = JSON.parse(text);
  } catch {
    throw new Problem({ title: "The shop's answer was cut off." }, 0, answer.headers);
  }
  if (!answer.ok) throw new Problem(value ?? {}, answer.status, answer.headers);
  return { value, replayed: answer.headers.has("idempotent-replayed") };
}

// get reads a path.
export const get = async (path, query) => (await call("GET", path, { query })).value;

// post sends a body; a key makes a repetition harmless.
export const post = async (path, body, key) => (await call("POST", path, { body, key })).value;

// patch changes the named fields of a record.
export const patch = async (path, body) => (await call("PATCH", path, { body })).value;

// act runs an action and says besides whether the answer is that of an earlier try.
export const act = (name, body, key) => call("POST", `/api/actions/${name}`, { body, key });
