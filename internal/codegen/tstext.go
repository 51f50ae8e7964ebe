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
