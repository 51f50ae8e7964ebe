// The module "galley/test": what tests are written with. host is what the runner gives.
(function (host) {
  "use strict";

  class Problem extends Error {
    constructor(status, sent) {
      const body = sent !== null && typeof sent === "object" ? sent : {};
      super(body.detail || body.title || "the answer was " + status);
      this.name = "Problem";
      this.status = status;
      this.body = sent;
      this.code = body.code;
      this.title = body.title;
      this.data = body.data;
      this.errors = body.errors;
    }
  }

  const tests = [];
  function test(name, run) {
    if (typeof name !== "string" || typeof run !== "function") {
      throw new TypeError("test takes a name and a function");
    }
    if (tests.some((t) => t.name === name)) throw new Error(`there are two tests "${name}"`);
    tests.push({ name, run, at: new Error().stack });
  }

  // What records and inputs become on the wire, and back.
  const operator = (name) => (x) => ({ ["$" + name]: x });
  const literal = (x) => {
    if (x instanceof Date) return `timestamp(${JSON.stringify(x.toISOString())})`;
    if (Array.isArray(x)) return "[" + x.map(literal).join(", ") + "]";
    if (x !== null && typeof x === "object" && typeof x.id === "string") return JSON.stringify(x.id);
    return JSON.stringify(x);
  };
  class Filter {
    constructor(text) { this.text = text; }
  }
  const cel = (parts, ...values) =>
    new Filter(parts.reduce((all, part, i) => all + literal(values[i - 1]) + part));
  const encoded = (o) => {
    const pairs = [];
    for (const [name, v] of Object.entries(o)) {
      if (v !== undefined) pairs.push(encodeURIComponent(name) + "=" + encodeURIComponent(v));
    }
    return pairs.length ? "?" + pairs.join("&") : "";
  };
  const idOf = (x) => encodeURIComponent(x !== null && typeof x === "object" ? x.id : x);

  // from makes an error say that it came from where another one was made: what fails
  // while it is awaited would else tell no place in the test.
  const from = (here, error) =>
    Object.defineProperty(error, "stack", { value: here.stack, configurable: true });

  let keys = 0;
  async function call(as, method, path, body, { key, headers } = {}) {
    const here = new Error();
    if (key === undefined && method === "POST") key = "test-" + ++keys;
    const text = body === undefined ? "" : JSON.stringify(body);
    const answer = await host.call(as, method, path, text,
      { ...(key && { "idempotency-key": key }), ...headers });
    let got = answer.body === "" ? undefined : answer.body;
    if (/[/+]json\b/.test(answer.type)) got = JSON.parse(answer.body);
    if (answer.status >= 400) throw from(here, new Problem(answer.status, got));
    return got;
  }

  function revived(name, record) {
    if (record === null || record === undefined) return record;
    for (const field of host.times(name)) {
      if (typeof record[field] === "string") record[field] = new Date(record[field]);
    }
    return record;
  }

  function question({ where, filter, sort, limit, fields, expand } = {}) {
    const ask = { sort, limit, fields, expand, filter };
    if (where instanceof Filter) ask.filter = where.text;
    else if (where !== undefined) {
      ask.filter = Object.entries(where).map(([k, v]) => `${k} == ${literal(v)}`).join(" && ") ||
        undefined;
    }
    if (filter instanceof Filter) ask.filter = filter.text;
    return ask;
  }

  // table is a collection as an admin has it, in the words of tx.db.
  function table(name) {
    const at = "/api/" + name;
    const list = async (ask) => {
      const limit = ask && ask.limit;
      const items = [];
      let cursor;
      do {
        const page = await call("", "GET",
          at + encoded({ ...question(ask), limit: limit === undefined ? 500 : limit - items.length,
            cursor }));
        items.push(...page.items);
        cursor = page.next;
      } while (cursor && (limit === undefined || items.length < limit));
      return items.map((r) => revived(name, r));
    };
    return {
      get: async (id) => revived(name, await call("", "GET", at + "/" + idOf(id))),
      list,
      first: async (where, options) => (await list({ where, ...options, limit: 1 }))[0] || null,
      count: async (where) =>
        (await call("", "GET", at + encoded({ ...question({ where }), limit: 1, total: true }))).total,
      insert: async (fields) => revived(name, await call("", "POST", at, fields)),
      update: async (id, fields) =>
        revived(name, await call("", "PATCH", at + "/" + idOf(id), fields, { key: "test-" + ++keys })),
      delete: (id) => call("", "DELETE", at + "/" + idOf(id)),
    };
  }

  // client is what somebody outside can do.
  function client(as, me) {
    const actions = {};
    for (const { name, get } of host.actions) {
      actions[name] = (input, options) =>
        get
          ? call(as, "GET", "/api/actions/" + name + encoded(input || {}))
          : call(as, "POST", "/api/actions/" + name, input, options);
    }
    const it = {
      ...me, actions,
      request: (method, path, body, options) => call(as, method, path, body, options),
    };
    for (const name of host.collections) {
      const at = "/api/" + name;
      it[name] = {
        list: (ask) => call(as, "GET", at + encoded(question(ask))),
        get: (id) => call(as, "GET", at + "/" + idOf(id)),
        create: (fields) => call(as, "POST", at, fields),
        update: (id, fields) => call(as, "PATCH", at + "/" + idOf(id), fields, { key: "test-" + ++keys }),
        delete: (id) => call(as, "DELETE", at + "/" + idOf(id)),
      };
    }
    for (const name of host.views) {
      it[name] = { list: (ask) => call(as, "GET", "/api/" + name + encoded(question(ask))) };
    }
    return it;
  }

  const units = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86400e3, w: 7 * 86400e3 };
  function span(text) {
    if (typeof text === "number") return text;
    let rest = String(text), ms = 0;
    while (rest !== "") {
      const m = /^(\d+)(ms|s|m|h|d|w)/.exec(rest);
      if (!m) throw new TypeError(`${JSON.stringify(text)} is no time: write 90s, 2h or 14d`);
      ms += Number(m[1]) * units[m[2]];
      rest = rest.slice(m[0].length);
    }
    return ms;
  }

  function hosted(answer) {
    if (answer === undefined || answer === null) return { status: 204, headers: {}, body: "" };
    if (typeof answer === "string") return { status: 200, headers: {}, body: answer };
    const headers = { ...(answer.headers || {}) };
    let body = answer.body === undefined ? "" : answer.body;
    if (answer.json !== undefined || typeof body !== "string") {
      body = JSON.stringify(answer.json !== undefined ? answer.json : body);
      if (!Object.keys(headers).some((h) => h.toLowerCase() === "content-type")) {
        headers["content-type"] = "application/json";
      }
    }
    return { status: answer.status || 200, headers, body };
  }

  const pathOf = (link) => String(link).replace(/^https?:\/\/[^/]*/, "") || "/";

  function world() {
    let people = 0;
    const t = {
      db: {},
      async user(fields) {
        const n = ++people;
        const row = await call("", "POST", "/api/users",
          { ...host.person(n), email: `user${n}@example.com`, verified: true, ...fields });
        return client(row.id, revived("users", row));
      },
      visitor: client("anonymous", {}),
      together: async (...calls) =>
        (await Promise.allSettled(calls)).map((r) => (r.status === "fulfilled" ? r.value : r.reason)),
      advance: (time) => host.advance(span(time)),
      settle: () => host.advance(0),
      mail: {
        list: async (to) =>
          JSON.parse(await host.mail()).filter((m) => to === undefined || m.to === to),
        last: async (to) => {
          const all = await t.mail.list(to);
          return all[all.length - 1] || null;
        },
        async click(link) {
          const path = pathOf(link);
          if (!path.startsWith("/mail/")) return path;
          const answer = await host.call("anonymous", "GET", path, "", {});
          if (answer.status >= 400) throw new Problem(answer.status, answer.body);
          return answer.location ? pathOf(answer.location) : path;
        },
        async unsubscribe(mail) {
          const link = mail.links.find((l) => pathOf(l).startsWith("/mail/unsubscribe/"));
          if (!link) throw new Error("there is no way to unsubscribe in this mail");
          await call("anonymous", "POST", pathOf(link));
        },
      },
      host(url, answer) {
        host.host(url, async (request) => {
          request.json = () => JSON.parse(request.body);
          return hosted(typeof answer === "function" ? await answer(request) : answer);
        });
      },
      webhook: (name, body, options) =>
        host.webhook(name, JSON.stringify(body), { id: "test-" + ++keys, ...options }),
      request: (method, path, body, options) =>
        call("anonymous", method, path, body, options),
    };
    Object.defineProperty(t, "now", { get: () => new Date(host.now()) });
    for (const name of host.collections) t.db[name] = table(name);
    return t;
  }

  // expect.
  const same = (a, b, partly) => {
    if (Object.is(a, b)) return true;
    if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime();
    if (b instanceof RegExp && typeof a === "string" && partly) return b.test(a);
    if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return false;
    if (Array.isArray(a) !== Array.isArray(b)) return false;
    if (Array.isArray(a)) {
      return a.length === b.length && b.every((x, i) => same(a[i], x, partly));
    }
    const names = (o) => Object.keys(o).filter((k) => o[k] !== undefined);
    return (partly || names(a).length === names(b).length) &&
      names(b).every((k) => same(a[k], b[k], partly));
  };
  const shown = (x) => {
    if (x instanceof Problem) return `Problem ${x.code} (${x.status}): ${x.message}`;
    if (x instanceof Error) return `${x.name}: ${x.message}`;
    if (typeof x === "function") return x.name || "a function";
    const text = JSON.stringify(x, (_, v) =>
      v === undefined ? "undefined" : v instanceof RegExp ? String(v) : v);
    return text === undefined ? String(x) : text;
  };
  const fits = (error, want) =>
    want === undefined ||
    (typeof want === "string" && (error.code === want || String(error.message).includes(want))) ||
    (want instanceof RegExp && want.test(error.message)) ||
    (typeof want === "function" && error instanceof want) ||
    (typeof want === "object" && same(error, want, true));

  const matchers = {
    toBe: [(a, b) => Object.is(a, b), "to be"],
    toEqual: [(a, b) => same(a, b), "to equal"],
    toMatchObject: [(a, b) => same(a, b, true), "to match"],
    toMatch: [(a, b) => (b instanceof RegExp ? b.test(a) : String(a).includes(b)), "to match"],
    toContain: [(a, b) => (typeof a === "string" ? a.includes(b) : a.some((x) => Object.is(x, b))),
      "to contain"],
    toContainEqual: [(a, b) => a.some((x) => same(x, b)), "to contain"],
    toHaveLength: [(a, b) => a.length === b, "to have the length"],
    toBeGreaterThan: [(a, b) => a > b, "to be greater than"],
    toBeGreaterThanOrEqual: [(a, b) => a >= b, "to be at least"],
    toBeLessThan: [(a, b) => a < b, "to be less than"],
    toBeLessThanOrEqual: [(a, b) => a <= b, "to be at most"],
    toBeCloseTo: [(a, b, digits) => Math.abs(a - b) < Math.pow(10, -(digits === undefined ? 2 : digits)) / 2,
      "to be close to"],
    toBeTruthy: [(a) => Boolean(a), "to be true"],
    toBeFalsy: [(a) => !a, "to be false"],
    toBeNull: [(a) => a === null, "to be null"],
    toBeUndefined: [(a) => a === undefined, "to be undefined"],
    toBeDefined: [(a) => a !== undefined, "to be defined"],
    toBeInstanceOf: [(a, b) => a instanceof b, "to be an instance of"],
    toThrow: [(a, b) => {
      try {
        a();
      } catch (e) {
        return fits(e, b);
      }
      return false;
    }, "to throw"],
  };

  function ask(actual, no, taken) {
    const said = {};
    for (const [name, [holds, words]] of Object.entries(matchers)) {
      said[name] = (...want) => {
        const here = new Error();
        const decide = (a) => {
          if (holds(a, ...want) === no) {
            throw from(here, new Error(`expected ${shown(a)}${no ? " not" : ""} ${words}` +
              (want.length ? " " + shown(want[0]) : "")));
          }
        };
        return taken ? taken(actual, here).then(decide) : decide(actual);
      };
    }
    return said;
  }
  function expect(actual) {
    const both = (taken) => ({ ...ask(actual, false, taken), not: ask(actual, true, taken) });
    const rejected = (p, here) =>
      Promise.resolve(p).then(
        (v) => { throw from(here, new Error(`expected a refusal, and it gave ${shown(v)}`)); }, (e) => e);
    const rejects = {
      ...both(rejected),
      toThrow: (want) => {
        const here = new Error();
        return rejected(actual, here).then((e) => {
          if (!fits(e, want)) throw from(here, new Error(`expected ${shown(e)} to be ${shown(want)}`));
        });
      },
    };
    return { ...both(), resolves: both((p) => Promise.resolve(p)), rejects };
  }

  // What is said appears below the test.
  const say = (...parts) =>
    host.say(parts.map((p) => (typeof p === "string" ? p : shown(p))).join(" "));
  host.console = { log: say, info: say, warn: say, error: say, debug: say };

  host.module = {
    test, expect, cel, Problem, add: operator("add"), append: operator("append"),
    remove: operator("remove"), max: operator("max"), min: operator("min"),
  };
  host.tests = tests;
  host.world = world;
})
