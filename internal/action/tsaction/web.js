// What code knows from elsewhere and needs to speak with others: addresses, texts as
// bytes, and the fetch that a step is given. It is made with the rest of the world,
// before that is frozen; host does what takes long.
(function (host) {
  "use strict";

  const TEXT = 1 << 20, PARTS = 10000;
  const str = String;
  const define = (name, value) => {
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
  };
  const tooMany = (what) => { throw new RangeError(what + " has more than " + PARTS + " parts"); };

  // Bytes.
  const isBytes = (x) => x instanceof ArrayBuffer || ArrayBuffer.isView(x);
  const bufferOf = (x) => (x instanceof ArrayBuffer ? x
    : x.buffer.slice(x.byteOffset, x.byteOffset + x.byteLength));
  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return new Uint8Array(host.encode(str(text))); }
  }
  class TextDecoder {
    constructor(label = "utf-8") {
      if (!/^utf-?8$/i.test(str(label))) throw new RangeError("TextDecoder knows utf-8 alone");
    }
    get encoding() { return "utf-8"; }
    decode(bytes) { return bytes === undefined ? "" : host.decode(bufferOf(bytes)); }
  }
  define("TextEncoder", TextEncoder);
  define("TextDecoder", TextDecoder);
  define("atob", ({ atob(text) { return host.atob(str(text)); } }).atob);
  define("btoa", ({ btoa(text) { return host.btoa(str(text)); } }).btoa);

  // A list of names and values, in which a name may stand more than once.
  class URLSearchParams {
    #list = [];
    #changed;
    constructor(init = "", changed = () => {}) {
      this.#changed = changed;
      if (init === null) return;
      let pairs;
      if (typeof init !== "object") pairs = host.parseQuery(str(init).replace(/^\?/, ""));
      else pairs = typeof init[Symbol.iterator] === "function" ? init : Object.entries(init);
      for (const pair of pairs) this.#push(pair[0], pair[1]);
    }
    #push(name, value) {
      if (this.#list.length >= PARTS) tooMany("URLSearchParams");
      this.#list.push([str(name), str(value)]);
    }
    #change() { this.#changed(this.toString()); }
    get size() { return this.#list.length; }
    append(name, value) { this.#push(name, value); this.#change(); }
    delete(name, value) {
      this.#list = this.#list.filter((p) => p[0] !== str(name) || value !== undefined && p[1] !== str(value));
      this.#change();
    }
    get(name) {
      const found = this.#list.find((p) => p[0] === str(name));
      return found ? found[1] : null;
    }
    getAll(name) { return this.#list.filter((p) => p[0] === str(name)).map((p) => p[1]); }
    has(name, value) {
      return this.#list.some((p) => p[0] === str(name) && (value === undefined || p[1] === str(value)));
    }
    set(name, value) {
      const at = this.#list.findIndex((p) => p[0] === str(name));
      if (at < 0) this.#push(name, value);
      else {
        this.#list = this.#list.filter((p, i) => i <= at || p[0] !== str(name));
        this.#list[at] = [str(name), str(value)];
      }
      this.#change();
    }
    sort() { this.#list.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)); this.#change(); }
    forEach(f, self) { for (const [name, value] of this.#list) f.call(self, value, name, this); }
    keys() { return this.#list.map((p) => p[0])[Symbol.iterator](); }
    values() { return this.#list.map((p) => p[1])[Symbol.iterator](); }
    entries() { return this.#list.map((p) => [p[0], p[1]])[Symbol.iterator](); }
    [Symbol.iterator]() { return this.entries(); }
    toString() { return host.writeQuery(this.#list); }
  }
  define("URLSearchParams", URLSearchParams);

  class URL {
    #is;
    #params = null;
    constructor(address, base) {
      this.#is = host.parseURL(str(address), base === undefined ? "" : str(base));
      if (this.#is === null) throw new TypeError("Invalid URL: " + str(address).slice(0, 200));
    }
    static canParse(address, base) {
      return host.parseURL(str(address), base === undefined ? "" : str(base)) !== null;
    }
    #with(part, value) {
      const is = { ...this.#is, [part]: value };
      const login = is.username === "" ? "" : is.username + (is.password && ":" + is.password) + "@";
      const port = is.port === "" ? "" : ":" + is.port;
      const next = host.parseURL(is.protocol + "//" + login + is.hostname + port + is.pathname + is.search + is.hash, "");
      if (next !== null) this.#is = next;
    }
    get href() { return this.#is.href; }
    get protocol() { return this.#is.protocol; }
    get username() { return this.#is.username; }
    get password() { return this.#is.password; }
    get hostname() { return this.#is.hostname; }
    get port() { return this.#is.port; }
    get host() { return this.#is.hostname + (this.#is.port && ":" + this.#is.port); }
    get origin() { return this.#is.protocol + "//" + this.host; }
    get pathname() { return this.#is.pathname; }
    get search() { return this.#is.search; }
    get hash() { return this.#is.hash; }
    set protocol(x) { this.#with("protocol", str(x).replace(/:?$/, ":")); }
    set hostname(x) { this.#with("hostname", str(x)); }
    set port(x) { this.#with("port", str(x)); }
    set pathname(x) { this.#with("pathname", str(x).replace(/^\/?/, "/")); }
    set hash(x) { this.#with("hash", str(x).replace(/^#?(?=.)/, "#")); }
    set search(x) { this.#with("search", str(x).replace(/^\??(?=.)/, "?")); this.#params = null; }
    get searchParams() {
      if (this.#params === null) {
        this.#params = new URLSearchParams(this.search, (text) => this.#with("search", text && "?" + text));
      }
      return this.#params;
    }
    toString() { return this.href; }
    toJSON() { return this.href; }
  }
  define("URL", URL);

  class Headers {
    #list = new Map();
    constructor(init) {
      if (init === undefined || init === null) return;
      const pairs = typeof init[Symbol.iterator] === "function" ? init : Object.entries(init);
      for (const [name, value] of pairs) this.append(name, value);
    }
    append(name, value) {
      const key = this.#key(name), old = this.#list.get(key);
      const text = this.#value(value);
      this.#list.set(key, old === undefined ? text : old + ", " + text);
    }
    #key(name) {
      const key = str(name).toLowerCase();
      if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(key)) throw new TypeError("Invalid header name: " + key.slice(0, 100));
      if (this.#list.size > 100 && !this.#list.has(key)) throw new RangeError("there are more than 100 headers");
      return key;
    }
    #value(value) {
      const text = str(value).trim();
      if (/[\0\r\n]/.test(text)) throw new TypeError("Invalid header value");
      return text;
    }
    delete(name) { this.#list.delete(str(name).toLowerCase()); }
    get(name) {
      const value = this.#list.get(str(name).toLowerCase());
      return value === undefined ? null : value;
    }
    has(name) { return this.#list.has(str(name).toLowerCase()); }
    set(name, value) { this.#list.set(this.#key(name), this.#value(value)); }
    forEach(f, self) { for (const [name, value] of this) f.call(self, value, name, this); }
    entries() { return [...this.#list].sort((a, b) => (a[0] < b[0] ? -1 : 1))[Symbol.iterator](); }
    keys() { return [...this.entries()].map((p) => p[0])[Symbol.iterator](); }
    values() { return [...this.entries()].map((p) => p[1])[Symbol.iterator](); }
    [Symbol.iterator]() { return this.entries(); }
  }
  define("Headers", Headers);

  // bodyOf returns what is sent, and what it says that it is.
  const bodyOf = (body) => {
    if (body === undefined || body === null) return [undefined, ""];
    if (body instanceof URLSearchParams) {
      return [body.toString(), "application/x-www-form-urlencoded;charset=UTF-8"];
    }
    if (isBytes(body)) return [bufferOf(body), ""];
    return [str(body), "text/plain;charset=UTF-8"];
  };

  class Response {
    #body;
    #used = false;
    constructor(body, init = {}) {
      const [raw, type] = bodyOf(body);
      this.#body = raw === undefined ? "" : raw;
      this.status = init.status === undefined ? 200 : init.status;
      this.statusText = init.statusText === undefined ? "" : str(init.statusText);
      this.headers = new Headers(init.headers);
      if (type && !this.headers.has("content-type")) this.headers.set("content-type", type);
      this.url = init.url === undefined ? "" : str(init.url);
    }
    get ok() { return this.status >= 200 && this.status < 300; }
    get bodyUsed() { return this.#used; }
    #take() {
      if (this.#used) throw new TypeError("the body was read already");
      this.#used = true;
      return this.#body;
    }
    async text() {
      const body = this.#take();
      return typeof body === "string" ? body : host.decode(body);
    }
    async json() { return JSON.parse(await this.text()); }
    async arrayBuffer() {
      const body = this.#take();
      return typeof body === "string" ? host.encode(body) : body;
    }
    async bytes() { return new Uint8Array(await this.arrayBuffer()); }
  }
  define("Response", Response);

  // ask turns what fetch takes into what the host asks for, and its answer into ours.
  host.ask = async (send, address, init = {}) => {
    const [body, type] = bodyOf(init.body);
    const headers = new Headers(init.headers);
    if (type && !headers.has("content-type")) headers.set("content-type", type);
    const method = init.method === undefined ? "GET" : str(init.method).toUpperCase();
    const got = await send(method, str(address instanceof URL ? address.href : address), [...headers], body);
    return new Response(got.body, got);
  };
});
