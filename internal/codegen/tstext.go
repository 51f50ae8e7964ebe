package codegen

// The parts of the declarations that are the same for every app.

const tsGlobals = `/** Writes to the app's log, as tx.log does. */
declare const console: {
  log(...parts: unknown[]): void;
  info(...parts: unknown[]): void;
  warn(...parts: unknown[]): void;
  error(...parts: unknown[]): void;
  debug(...parts: unknown[]): void;
};

/** A copy of plain data, dates, lists, maps and sets. */
declare function structuredClone<T>(value: T): T;

declare class TextEncoder {
  encode(text?: string): Uint8Array;
}
declare class TextDecoder {
  constructor(label?: "utf-8" | "utf8");
  decode(bytes?: ArrayBuffer | ArrayBufferView): string;
}
declare function atob(text: string): string;
declare function btoa(text: string): string;

declare class URLSearchParams implements Iterable<[string, string]> {
  constructor(init?: string | Iterable<readonly [string, string]> | { readonly [name: string]: string } | null);
  readonly size: number;
  append(name: string, value: string): void;
  delete(name: string, value?: string): void;
  get(name: string): string | null;
  getAll(name: string): string[];
  has(name: string, value?: string): boolean;
  set(name: string, value: string): void;
  sort(): void;
  forEach(each: (value: string, name: string, all: URLSearchParams) => void): void;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  entries(): IterableIterator<[string, string]>;
  [Symbol.iterator](): IterableIterator<[string, string]>;
  toString(): string;
}

/** An address of http or https. */
declare class URL {
  constructor(address: string | URL, base?: string | URL);
  static canParse(address: string, base?: string): boolean;
  readonly href: string;
  readonly origin: string;
  readonly username: string;
  readonly password: string;
  readonly host: string;
  protocol: string;
  hostname: string;
  port: string;
  pathname: string;
  search: string;
  hash: string;
  readonly searchParams: URLSearchParams;
  toString(): string;
  toJSON(): string;
}

declare class Headers implements Iterable<[string, string]> {
  constructor(init?: Iterable<readonly [string, string]> | { readonly [name: string]: string } | null);
  append(name: string, value: string): void;
  delete(name: string): void;
  get(name: string): string | null;
  has(name: string): boolean;
  set(name: string, value: string): void;
  forEach(each: (value: string, name: string, all: Headers) => void): void;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  entries(): IterableIterator<[string, string]>;
  [Symbol.iterator](): IterableIterator<[string, string]>;
}

/** What the other side answered. Its body can be read once. */
declare class Response {
  constructor(body?: string | ArrayBuffer | ArrayBufferView | URLSearchParams | null, init?: {
    status?: number; statusText?: string; headers?: { readonly [name: string]: string };
  });
  readonly status: number;
  readonly statusText: string;
  readonly ok: boolean;
  readonly url: string;
  readonly headers: Headers;
  readonly bodyUsed: boolean;
  text(): Promise<string>;
  json(): Promise<any>;
  arrayBuffer(): Promise<ArrayBuffer>;
  bytes(): Promise<Uint8Array>;
}

`

const tsModule = `  const kind: unique symbol;

  /** The id of a record of one collection; no other id can be given in its place. */
  export type Id<Collection extends string> = string & { readonly [kind]: Collection };

  /** What a json field holds. */
  export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

  /** A change of a number that the database applies to what is stored. */
  export interface NumberOperator { readonly [kind]: "number" }

  /** A change of a list that the database applies to what is stored. */
  export interface ListOperator<T> { readonly [kind]: "list"; readonly item?: T }

  /** Adds to a number. */
  export function add(n: number): NumberOperator;
  /** Makes a number at least n. */
  export function max(n: number): NumberOperator;
  /** Makes a number at most n. */
  export function min(n: number): NumberOperator;
  /** Puts an item at the end of a list. */
  export function append<T>(item: T): ListOperator<T>;
  /** Takes every such item out of a list. */
  export function remove<T>(item: T): ListOperator<T>;

  /** A condition in CEL. */
  export interface Filter { readonly [kind]: "filter" }

  /** A condition in CEL into which values are bound: cel` + "`stock < ${n} && listed`" + ` */
  export function cel(text: TemplateStringsArray, ...values: Bound[]): Filter;
  export type Bound = null | string | number | boolean | Date | { readonly id: string } |
    ReadonlyArray<string | number | boolean | Date>;

  /** A condition: fields and what they equal, or CEL. */
  export type Where<R> = { readonly [F in keyof R]?: R[F] } | Filter;

  /** The records of one collection. Awaiting a result is allowed, and not needed. */
  export interface Table<Name extends string, R, New, Change> {
    /** The record, or the refusal not_found. */
    get(id: Id<Name>): R;
    /** The first record that fulfils the condition, or null. */
    first(where?: Where<R>, options?: { sort?: string }): R | null;
    /** The records that fulfil the condition. Without a limit there must not be more than 1,000. */
    list(ask?: { where?: Where<R>; sort?: string; limit?: number }): R[];
    /** How many records fulfil the condition. */
    count(where?: Where<R>): number;
    /** Writes a new record and returns it as stored. */
    insert(fields: New): R;
    /** Changes a record and returns it as stored. Given a record, it must not have been changed since it was read. */
    update(record: R | Id<Name>, fields: Change): R;
    /** Removes a record, or refuses with not_found. */
    delete(record: R | Id<Name>): void;
  }

  /** A no. It is thrown: throw refuse("…") undoes the call and answers with the code. */
  export interface Refusal extends Error {
    readonly code: Code;
    readonly data?: { readonly [name: string]: string | number | boolean };
  }

  /** Makes the error by which code says no; data is sent along. */
  export function refuse(code: Code, data?: { [name: string]: string | number | boolean }): Refusal;
`

const tsTx = `  /** The transaction of one call: all that code may read and write. */
  export interface Tx<Auth = USER | null> {
    readonly db: DB;
    /** Who calls, as stored when the call began. */
    readonly auth: Auth;
    /** The instant of the call, the same however long it runs. */
    readonly now: Date;
    /** Writes a line for the developer. */
    log(message: string, fields?: { [name: string]: unknown }): void;
    /** A number from 0 to 1, the same if the call is run again. */
    random(): number;
    /** Starts a job when, and only if, the transaction commits. */
    readonly jobs: { readonly [Name in keyof Jobs]: Jobs[Name]["start"] };
    /** Sends a mail when, and only if, the transaction commits. */
    readonly email: { readonly [Name in keyof Emails]: (letter?: Letter) => void };
    /** Tells a message to the members of a channel when, and only if, the transaction commits. */
    publish(channel: Channel, message: unknown): void;
    /** Tokens of the app's own: JSON Web Tokens, signed with a secret that the app file names. */
    readonly token: {
      sign(secret: Secret, claims: { readonly [name: string]: unknown }, options?: { expires?: string | number }): string;
      /** The claims, or null for a token that is none of ours or has run out. */
      verify(secret: Secret, token: string | undefined): any | null;
    };
    /** Passwords of the app's own. A hash takes long to make, so that guessing does. */
    readonly password: {
      hash(password: string): string;
      verify(hash: string | null | undefined, password: string): boolean;
    };
  }
`

const tsAction = `
  /** The code of an action. It is the default export of actions/<name>.ts. */
  export interface Action<Name extends keyof Actions> { readonly name: Name }

  /** Says what an action does. It may be run again if another call came between. */
  export function action<Name extends keyof Actions>(
    name: Name,
    run: (tx: Actions[Name]["tx"], input: Actions[Name]["input"]) =>
      Actions[Name]["output"] | Promise<Actions[Name]["output"]>,
  ): Action<Name>;
`
