// The world in which actions run. It is run once in every engine, before any code of
// an app: it takes away what reaches outside, puts bounds on what could take all
// memory in one step of the engine, and freezes what is left.
(function (host) {
  "use strict";

  // The greatest length of a text that one step makes or reads, the greatest number
  // of items that one step goes through, the greatest text that a regular expression
  // reads, and the greatest depth of what is nested.
  const TEXT = 1 << 20, ITEMS = 100000, READ = 256 << 10, DEPTH = 200;

  const apply = Reflect.apply, construct = Reflect.construct;
  const defineProperty = Object.defineProperty, isArray = Array.isArray;
  const getPrototypeOf = Object.getPrototypeOf, keys = Object.keys;
  const freeze = Object.freeze, ownKeys = Reflect.ownKeys;
  const num = Number, str = String, floor = Math.floor, min = Math.min;

  function hide(object, name, value) {
    defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });
  }
  function tooLong(what, most) {
    throw new RangeError(what + " is longer than " + most);
  }

  // Nothing that makes code of text, reaches the outside, or computes without bound.
  for (const name of ["eval", "GoError", "BigInt", "BigInt64Array", "BigUint64Array",
    "SharedArrayBuffer", "Atomics", "WeakRef", "FinalizationRegistry", "Intl"]) {
    delete globalThis[name];
  }
  const makers = [function () {}, async function () {}, function* () {}].map(getPrototypeOf);
  for (const proto of makers) {
    const refused = function Function() {
      throw new TypeError("code cannot be made of text here");
    };
    refused.prototype = proto;
    defineProperty(proto, "constructor", { value: refused, writable: true, configurable: true });
  }
  hide(globalThis, "Function", Function.prototype.constructor);

  // Texts.
  function replaceMethod(object, name, make) {
    const old = object[name];
    const wrapped = make(old);
    defineProperty(wrapped, "name", { value: old.name });
    defineProperty(wrapped, "length", { value: old.length });
    hide(object, name, wrapped);
  }
  const S = String.prototype;
  replaceMethod(S, "repeat", (old) => ({ m(n) {
    const s = str(this), times = num(n);
    if (s.length * times > TEXT) tooLong("the text made by repeat", TEXT);
    return apply(old, s, [times]);
  } }).m);
  for (const name of ["padStart", "padEnd"]) {
    replaceMethod(S, name, (old) => ({ m(n, fill) {
      const length = num(n);
      if (length > TEXT) tooLong("the text made by " + name, TEXT);
      return apply(old, str(this), fill === undefined ? [length] : [length, str(fill)]);
    } }).m);
  }
  replaceMethod(S, "concat", (old) => ({ m(...parts) {
    let length = str(this).length;
    for (let i = 0; i < parts.length; i++) {
      parts[i] = str(parts[i]);
      length += parts[i].length;
    }
    if (length > TEXT) tooLong("the text made by concat", TEXT);
    return apply(old, this, parts);
  } }).m);
  replaceMethod(S, "split", (old) => ({ m(by, limit) {
    const s = str(this);
    if (s.length > TEXT) tooLong("the text to split", TEXT);
    if (by === "" && s.length > ITEMS) tooLong("the text to split", ITEMS);
    return apply(old, s, [by, limit]);
  } }).m);
  replaceMethod(S, Symbol.iterator, (old) => ({ m() {
    const s = str(this);
    if (s.length > ITEMS) tooLong("the text to go through", ITEMS);
    return apply(old, s, []);
  } }).m);
  for (const name of ["replace", "replaceAll"]) {
    replaceMethod(S, name, (old) => ({ m(what, by) {
      const s = str(this);
      if (typeof by !== "function") {
        by = str(by);
        // Each $ may stand for all of the text.
        const most = by.indexOf("$") < 0 ? by.length : by.length * (s.length + 1);
        if (most > 64 && (s.length + 1) * most > TEXT) tooLong("what " + name + " could make", TEXT);
      }
      return apply(old, s, [what, by]);
    } }).m);
  }
  hide(S, "toLocaleUpperCase", S.toUpperCase);
  hide(S, "toLocaleLowerCase", S.toLowerCase);

  // Lists. A list may pretend to any length, so it is looked at first.
  const A = Array.prototype;
  function bounded(list) {
    if (list == null) return;
    let length = list.length;
    if (typeof length !== "number") length = num(length);
    if (length > ITEMS) tooLong("the list", ITEMS);
  }
  for (const name of ["copyWithin", "every", "fill", "filter", "find", "findIndex",
    "findLast", "findLastIndex", "flat", "flatMap", "forEach", "includes", "indexOf",
    "lastIndexOf", "map", "reduce", "reduceRight", "reverse", "shift", "slice", "some", "sort",
    "splice", "toReversed", "toSorted", "toSpliced", "unshift", "with"]) {
    if (!A[name]) continue;
    const old = A[name];
    const wrapped = ({ m(...args) {
      bounded(this);
      return apply(old, this, args);
    } }).m;
    defineProperty(wrapped, "name", { value: name });
    defineProperty(wrapped, "length", { value: old.length });
    hide(A, name, wrapped);
  }
  const nothing = [];
  for (const name of ["entries", "keys", "values"]) { // every for goes through one of these
    replaceMethod(A, name, (old) => ({ m() {
      bounded(this);
      return apply(old, this, nothing);
    } }).m);
  }
  hide(A, Symbol.iterator, A.values);
  replaceMethod(A, "concat", (old) => ({ m(...lists) {
    bounded(this);
    let length = this == null ? 0 : num(this.length) || 0;
    for (let i = 0; i < lists.length; i++) length += isArray(lists[i]) ? lists[i].length : 1;
    if (length > ITEMS) tooLong("the list made by concat", ITEMS);
    return apply(old, this, lists);
  } }).m);
  // A list may hold another many times, which holds another many times.
  replaceMethod(A, "flat", () => ({ m(depth) {
    const out = [];
    const take = (list, deep) => {
      bounded(list);
      for (let i = 0; i < list.length; i++) {
        if (!(i in list)) continue;
        const x = list[i];
        if (deep > 0 && isArray(x)) take(x, deep - 1);
        else if (out.length < ITEMS) out[out.length] = x;
        else tooLong("the list made by flat", ITEMS);
      }
    };
    take(this, depth === undefined ? 1 : num(depth));
    return out;
  } }).m);
  replaceMethod(String, "raw", () => ({ m(parts, ...between) {
    const raw = parts.raw;
    if (raw.length > 10000) tooLong("the text for raw", 10000);
    let text = "";
    for (let i = 0; i < raw.length; i++) {
      text += str(raw[i]);
      if (i + 1 < raw.length && i < between.length) text += str(between[i]);
      if (text.length > TEXT) tooLong("the text made by raw", TEXT);
    }
    return text;
  } }).m);
  let joining = 0;
  function measure(list, by) {
    bounded(list);
    let total = 0;
    const length = num(list.length) || 0;
    total += by * length;
    for (let i = 0; i < length; i++) {
      const x = list[i];
      if (typeof x === "string") total += x.length;
      if (total > TEXT) tooLong("the text made by join", TEXT);
    }
  }
  for (const name of ["join", "toString", "toLocaleString"]) {
    replaceMethod(A, name, (old) => ({ m(by) {
      if (this == null) throw new TypeError(name + " of nothing");
      const sep = name === "join" && by !== undefined ? str(by) : ",";
      if (joining > DEPTH) throw new RangeError("lists are nested deeper than " + DEPTH);
      joining++;
      try {
        measure(this, sep.length);
        return apply(name === "join" ? old : A.join, this, [sep]);
      } finally {
        joining--;
      }
    } }).m);
  }
  replaceMethod(Array, "from", (old) => ({ m(items, ...rest) {
    if (items != null && items[Symbol.iterator] == null) bounded(items);
    return apply(old, this, [items, ...rest]);
  } }).m);
  const T = getPrototypeOf(Uint8Array);
  replaceMethod(T, "from", (old) => ({ m(items, ...rest) {
    if (items != null && items[Symbol.iterator] == null) bounded(items);
    return apply(old, this, [items, ...rest]);
  } }).m);

  // A list of arguments may be anything that has a length.
  replaceMethod(Function.prototype, "apply", () => ({ m(self, args) {
    bounded(args);
    return apply(this, self, args == null ? [] : args);
  } }).m);
  replaceMethod(Reflect, "apply", (old) => ({ m(f, self, args) {
    bounded(args);
    return old(f, self, args);
  } }).m);
  replaceMethod(Reflect, "construct", (old) => ({ m(f, args, ...by) {
    bounded(args);
    return old(f, args, ...by);
  } }).m);

  // What goes through all characters of a text or all items of a list in one step.
  function spreadable(x) {
    if (typeof x === "string" || isArray(x) || x instanceof String) {
      if (x.length > ITEMS) tooLong("what " + this + " goes through", ITEMS);
    }
  }
  for (const [object, names] of [
    [Object, ["assign", "entries", "keys", "values", "getOwnPropertyNames",
      "getOwnPropertyDescriptors", "freeze", "seal", "isFrozen", "isSealed", "preventExtensions"]],
    [Reflect, ["ownKeys"]],
  ]) {
    for (const name of names) {
      replaceMethod(object, name, (old) => ({ m(...args) {
        for (let i = 0; i < args.length; i++) apply(spreadable, name, [args[i]]);
        return apply(old, this, args);
      } }).m);
    }
  }

  // Constructors that take a length. What stands before them must answer instanceof
  // as they do.
  const isPrototypeOf = Object.prototype.isPrototypeOf;
  function answer(constructor) {
    defineProperty(constructor, Symbol.hasInstance, { value: ({ hasInstance(x) {
      return apply(isPrototypeOf, this.prototype, [x]);
    } }).hasInstance });
  }
  function guard(name, check) {
    const old = globalThis[name];
    if (!old) return;
    answer(old);
    const guarded = new Proxy(old, {
      apply(target, self, args) {
        check(args);
        return apply(target, self, args);
      },
      construct(target, args, by) {
        check(args);
        return construct(target, args, by === guarded ? target : by);
      },
    });
    hide(old.prototype, "constructor", guarded);
    hide(globalThis, name, guarded);
  }
  function checkLength(args) {
    const n = args[0];
    if (typeof n === "number" && n > TEXT) tooLong("the list", TEXT);
    if (n !== null && typeof n === "object") bounded(n);
  }
  function checkBytes(args) {
    if (num(args[0]) > TEXT) tooLong("the buffer", TEXT);
  }
  guard("Array", checkLength);
  guard("ArrayBuffer", checkBytes);
  for (const name of ["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array",
    "Int32Array", "Uint32Array", "Float32Array", "Float64Array"]) {
    guard(name, checkLength);
  }

  // Regular expressions. The engine gives up a match that takes too long and calls
  // it none; we end the call then, because none would be a lie.
  const R = RegExp.prototype, exec = R.exec;
  hide(R, "exec", ({ exec(text) {
    const s = str(text);
    if (s.length > READ) tooLong("the text for a regular expression", READ);
    const from = host.clock();
    const found = apply(exec, this, [s]);
    if (found === null && host.clock() - from >= host.matchTime) {
      host.stop("a regular expression took longer than " + host.matchTime + " ms: " + this.source);
    }
    return found;
  } }).exec);
  hide(R, "test", ({ test(text) { return this.exec(text) !== null; } }).test);
  delete R.compile;
  guard("RegExp", (args) => {
    if (typeof args[0] === "string" && /\\[pP]\{/.test(args[0])) {
      throw new SyntaxError("\\p{…} is not supported in regular expressions here");
    }
    if (typeof args[0] === "string" && args[0].length > 10000) {
      tooLong("the regular expression", 10000);
    }
  });

  // JSON.
  const { parse, stringify } = JSON;
  hide(JSON, "parse", ({ parse(text, reviver) {
    const s = str(text);
    if (s.length > TEXT) tooLong("the text for JSON.parse", TEXT);
    let depth = 0, quoted = false;
    if (s.length > DEPTH) {
      for (let i = 0; i < s.length; i++) {
        const c = s.charCodeAt(i);
        if (quoted) {
          if (c === 92) i++;
          else if (c === 34) quoted = false;
        } else if (c === 34) quoted = true;
        else if (c === 91 || c === 123) {
          if (++depth > DEPTH) throw new SyntaxError("JSON is nested deeper than " + DEPTH);
        } else if (c === 93 || c === 125) depth--;
      }
    }
    return parse(s, reviver);
  } }).parse);
  hide(JSON, "stringify", ({ stringify(value, replacer, space) {
    let size = 0;
    const weigh = (x, depth) => {
      if (depth > DEPTH) throw new RangeError("JSON is nested deeper than " + DEPTH);
      if (typeof x === "string") size += x.length;
      else size += 4;
      if (size > TEXT) tooLong("the text made by JSON.stringify", TEXT);
      if (x === null || typeof x !== "object" || typeof x.toJSON === "function") return;
      if (isArray(x)) {
        bounded(x);
        for (let i = 0; i < x.length; i++) weigh(x[i], depth + 1);
        return;
      }
      for (const key of keys(x)) {
        size += key.length;
        weigh(x[key], depth + 1);
      }
    };
    weigh(value, 0);
    return stringify(value, replacer, space);
  } }).stringify);

  // The day and the hour are those of UTC, wherever the server stands.
  const D = Date.prototype;
  for (const part of ["Date", "Day", "FullYear", "Hours", "Milliseconds", "Minutes", "Month", "Seconds"]) {
    hide(D, "get" + part, D["getUTC" + part]);
    if (D["setUTC" + part]) hide(D, "set" + part, D["setUTC" + part]);
  }
  hide(D, "getTimezoneOffset", ({ getTimezoneOffset() { return 0; } }).getTimezoneOffset);
  for (const name of ["toString", "toLocaleString"]) hide(D, name, D.toISOString);
  for (const name of ["toDateString", "toLocaleDateString"]) {
    hide(D, name, ({ m() { return this.toISOString().slice(0, 10); } }).m);
  }
  for (const name of ["toTimeString", "toLocaleTimeString"]) {
    hide(D, name, ({ m() { return this.toISOString().slice(11); } }).m);
  }
  const UTC = Date.UTC, DateParse = Date.parse;
  const OldDate = Date;
  const zone = (text) => (/T[\d:.]+$/.test(text) ? text + "Z" : text);
  answer(OldDate);
  const NewDate = new Proxy(OldDate, {
    apply() { return new OldDate().toISOString(); },
    construct(target, args, by) {
      if (args.length > 1) args = [apply(UTC, undefined, args)];
      else if (typeof args[0] === "string") args = [zone(args[0])];
      return construct(target, args, by === NewDate ? target : by);
    },
  });
  hide(OldDate, "parse", ({ parse(text) { return DateParse(zone(str(text))); } }).parse);
  hide(D, "constructor", NewDate);
  hide(globalThis, "Date", NewDate);

  // Numbers read the same in every country.
  hide(Number.prototype, "toLocaleString", ({ toLocaleString() { return str(this); } }).toLocaleString);

  // What newer engines have.
  function add(object, name, method) {
    if (!(name in object)) hide(object, name, method[name]);
  }
  add(Object, "groupBy", { groupBy(items, by) {
    const groups = Object.create(null);
    let i = 0;
    for (const item of items) {
      const key = by(item, i++);
      (groups[key] || (groups[key] = [])).push(item);
    }
    return groups;
  } });
  add(Map, "groupBy", { groupBy(items, by) {
    const groups = new Map();
    let i = 0;
    for (const item of items) {
      const key = by(item, i++);
      if (groups.has(key)) groups.get(key).push(item);
      else groups.set(key, [item]);
    }
    return groups;
  } });
  add(Promise, "withResolvers", { withResolvers() {
    const parts = {};
    parts.promise = new this((resolve, reject) => {
      parts.resolve = resolve;
      parts.reject = reject;
    });
    return parts;
  } });
  add(globalThis, "structuredClone", { structuredClone(value) {
    const seen = new Map();
    const copy = (x, depth) => {
      if (typeof x === "function") throw new TypeError("a function cannot be cloned");
      if (x === null || typeof x !== "object") return x;
      if (seen.has(x)) return seen.get(x);
      if (depth > DEPTH) throw new RangeError("the value is nested deeper than " + DEPTH);
      if (x instanceof OldDate) return new OldDate(x.getTime());
      let made;
      if (isArray(x)) {
        seen.set(x, (made = []));
        for (const item of x) made.push(copy(item, depth + 1));
      } else if (x instanceof Map) {
        seen.set(x, (made = new Map()));
        for (const [k, v] of x) made.set(copy(k, depth + 1), copy(v, depth + 1));
      } else if (x instanceof Set) {
        seen.set(x, (made = new Set()));
        for (const item of x) made.add(copy(item, depth + 1));
      } else {
        seen.set(x, (made = {}));
        for (const key of keys(x)) made[key] = copy(x[key], depth + 1);
      }
      return made;
    };
    return copy(value, 0);
  } });

  // The module "galley".
  host.galley = {
    action(name, run) {
      if (typeof name !== "string" || typeof run !== "function") {
        throw new TypeError("action wants a name and a function");
      }
      return { galley: "action", name, run };
    },
    refuse: host.refuse,
    fail: host.fail,
    cel: host.cel,
    hook(name, on) {
      if (typeof name !== "string" || on === null || typeof on !== "object") {
        throw new TypeError("hook wants a collection and an object of functions");
      }
      for (const event of keys(on)) {
        if (event !== "create" && event !== "update" && event !== "delete") {
          throw new TypeError("a hook has create, update and delete; " + event + " is none of them");
        }
        if (typeof on[event] !== "function") throw new TypeError(event + " is no function");
      }
      return { galley: "hook", name, on };
    },
  };
  host.galley.route = ({ route(name, run) {
    if (typeof name !== "string" || typeof run !== "function" && (run === null || typeof run !== "object")) {
      throw new TypeError("route wants a name and a function, or an object of functions");
    }
    if (typeof run === "function") return { galley: "route", name, run };
    for (const path of keys(run)) {
      if (typeof run[path] !== "function") throw new TypeError(path + " is no function");
    }
    return { galley: "route", name, on: run };
  } }).route;
  for (const kind of ["job", "webhook"]) {
    host.galley[kind] = ({ m(name, run) {
      if (typeof name !== "string" || typeof run !== "function") {
        throw new TypeError(kind + " wants a name and a function");
      }
      return { galley: kind, name, run };
    } }).m;
  }
  for (const name of ["add", "append", "remove", "max", "min"]) {
    const operator = host.operator;
    host.galley[name] = ({ m(x) { return operator(name, x); } }).m;
  }
  const { tx, job, input, before, event, done, log } = host;
  host.start = (main) => {
    const name = event();
    if (main.galley === "job") done(main.run(job(), input()));
    else if (name === "") done(main.run(tx(), input()));
    else done(main.on[name](tx(), input(), before()));
  };
  host.web(host.tools);

  // People write console.log; it goes where tx.log goes.
  const print = (...parts) => log(parts.map((p) => {
    if (typeof p === "string") return p;
    const text = p instanceof Error ? str(p) : JSON.stringify(p);
    return text === undefined ? str(p) : text;
  }).join(" "));
  hide(globalThis, "console", { log: print, info: print, warn: print, error: print, debug: print });

  // In a frozen world an object could not get a field of its own that its prototype
  // has too. Where people do that, the prototype's field becomes an accessor.
  function yielding(object, names) {
    for (const name of names) {
      const old = Object.getOwnPropertyDescriptor(object, name);
      if (!old || !("value" in old)) continue;
      const value = old.value;
      defineProperty(object, name, {
        enumerable: old.enumerable, configurable: true,
        get() { return value; },
        set(x) {
          if (this === object) throw new TypeError(name + " is fixed");
          defineProperty(this, name, { value: x, writable: true, enumerable: true, configurable: true });
        },
      });
    }
  }
  yielding(Object.prototype, ["constructor", "toString", "toLocaleString", "valueOf", "hasOwnProperty"]);
  yielding(Function.prototype, ["constructor", "toString"]);
  for (const name of ["Error", "AggregateError", "EvalError", "RangeError", "ReferenceError",
    "SyntaxError", "TypeError", "URIError"]) {
    if (globalThis[name]) {
      yielding(globalThis[name].prototype, ["constructor", "name", "message", "toString"]);
    }
  }

  // Freeze all that can be reached. A function that makes nothing has only its name
  // and its length, which need no look.
  const seen = new Set(), all = [];
  const { getOwnPropertyDescriptor } = Object;
  const accessors = new Set(["constructor", "toString", "toLocaleString", "valueOf", "hasOwnProperty"]);
  const reach = (x) => {
    if (x === null || typeof x !== "object" && typeof x !== "function" || seen.has(x)) return;
    seen.add(x);
    all[all.length] = x;
  };
  reach(globalThis);
  reach(host.galley);
  reach(host.start);
  reach(host.log);
  reach(host.random);
  reach(host.tools.ask);
  reach(host.starters);
  for (const name of keys(host.doing)) reach(host.doing[name]);
  for (const name of keys(host.db)) reach(host.db[name]);
  for (const x of [function () {}, async () => {}, function* () {}, (function* () {})(), [].values(),
    new Map().entries(), new Set().values(), ""[Symbol.iterator](), "".matchAll(/x/g), /x/,
    Promise.resolve(), Uint8Array]) {
    reach(getPrototypeOf(x));
  }
  for (let i = 0; i < all.length; i++) {
    const x = all[i], names = ownKeys(x);
    reach(getPrototypeOf(x));
    if (typeof x === "function" && names.length === 2) {
      freeze(x);
      continue;
    }
    for (let k = 0; k < names.length; k++) {
      const name = names[k];
      let value;
      try {
        value = x[name];
      } catch (e) { /* an accessor that wants another this */ }
      if (typeof name === "string" && !accessors.has(name) &&
          (typeof value === "function" || typeof value === "object" && value !== null)) {
        reach(value);
        continue;
      }
      if (typeof x === "function" && (name === "name" || name === "length")) continue;
      const p = getOwnPropertyDescriptor(x, name);
      reach(p.value);
      reach(p.get);
      reach(p.set);
    }
    freeze(x);
  }
});
