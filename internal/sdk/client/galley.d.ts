// The types of the client of Galley. What an app opens is in App, which `galley gen ts` fills.

declare const kind: unique symbol;

/** The id of a record of one collection; no other id can be given in its place. */
export type Id<Collection extends string> = string & { readonly [kind]: Collection };

/** What a json field holds. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A change of a number, made where it is stored: no other change is lost. */
export type NumberOperator = { $add: number } | { $max: number } | { $min: number };

/** A change of a list, made where it is stored. */
export type ListOperator<T> = { $append: T } | { $remove: T };

/** A condition in CEL; cel makes one. */
export interface Filter {
  readonly [kind]: "filter";
}

/** Values that can be bound into a filter. */
export type Bound = null | string | number | boolean | Date | { readonly id: string } |
  ReadonlyArray<string | number | boolean | Date>;

/** A condition in CEL into which values are bound: cel`price <= ${max} && listed` */
export function cel(text: TemplateStringsArray, ...values: Bound[]): Filter;

/** What one app opens. The file that `galley gen ts` writes fills it in. */
export interface App {}

// What is known of a collection: its record, where its relations lead, and what can be done.
interface Any {
  record: any;
  expand: any;
  create: any;
  update: any;
  delete: true;
}
type Part<Name extends string, Otherwise> = App extends { [K in Name]: infer T } ? T : Otherwise;
type Collections = Part<"collections", Record<string, Any>>;
type Views = Part<"views", {}>;
type Actions = Part<"actions", Record<string, { input: any; output: any }>>;
type Name = keyof Collections & string;
type In<C, K extends string, Otherwise> = C extends { [P in K]: infer T } ? T : Otherwise;
type Loose<T> = string extends T ? true : false;
type IdOf<C extends string> = Loose<Name> extends true ? string : Id<C>;

/** A record of a collection, as it is read. */
export type Row<C extends Name> = In<Collections[C], "record", any>;

type Map<C> = C extends keyof Collections ? In<Collections[C], "expand", {}> : {};
type To<R> = R extends { to: infer T } ? T : never;
type Head<E> = E extends `${infer H}.${string}` ? H : E;
type Tail<E, H extends string> = E extends `${H}.${infer T}` ? T : never;

/** The relations that can be expanded: the name of one, or a path of several. */
export type Path<C> = PathOf<Map<C>>;
type PathOf<M, Depth extends 0[] = []> = Depth["length"] extends 3 ? never
  : Loose<keyof M> extends true ? string
  : { [K in keyof M & string]: M[K] extends { in: infer I } ? `${K}.${PathOf<I, Depth>}`
      : K | `${K}.${PathOf<Map<To<M[K]>>, [...Depth, 0]>}` }[keyof M & string];
type Shape<R, Inner> = R extends { many: true } ? readonly Inner[]
  : R extends { optional: true } ? Inner | undefined : Inner;
type Beside<M, E> = { readonly [H in Head<E> & keyof M & string]: Shape<M[H],
  M[H] extends { in: infer I } ? Beside<I, Tail<E, H>> : Expanded<To<M[H]>, Tail<E, H>>> };

/** A record with what was expanded beside it. */
export type Expanded<C, E> = C extends Name
  ? [E] extends [never] ? Row<C>
    : Loose<E> extends true ? Row<C> & { readonly expand: any }
    : Row<C> & { readonly expand: Beside<Map<C>, E> }
  : any;

/** What a live list asks for. */
export interface Query<E extends string = string> {
  filter?: Filter;
  /** Fields to order by, such as "-created,name". */
  sort?: string;
  /** The most records, up to 500; 50 if none is given. */
  limit?: number;
  /** Relations whose records stand beside, under expand. */
  expand?: readonly E[];
}

/** What a list asks for. */
export interface ListQuery<E extends string = string> extends Query<E> {
  /** Where to go on: next of the page before. */
  cursor?: string;
  /** Whether to count all records. */
  total?: boolean;
}

export interface Page<T> {
  readonly items: T[];
  /** The cursor of the next page; absent on the last. */
  readonly next?: string;
  readonly total?: number;
}

/** What can be subscribed to: the contract of Svelte's stores, which fits React's and Vue's. */
export interface Store<T> {
  /** Calls the function with the value now and at each change, until what it returns is called. */
  subscribe(fn: (value: T) => void): () => void;
}

/** A list that is kept true. It begins with its first subscriber and ends after its last. */
export interface Live<T> extends Store<readonly T[]> {
  /** The records; another array whenever one has changed. */
  readonly items: readonly T[];
  /**
   * loading: the server has not answered yet. live: items are what it holds. offline: items are
   * what it last held. ended: it does not answer this, and problem says why.
   */
  readonly state: "loading" | "live" | "offline" | "ended";
  readonly problem?: Problem;
}

interface Reads<C extends string> {
  get<const E extends Path<C> = never>(id: IdOf<C>, query?: { expand?: readonly E[] }): Promise<Expanded<C, E>>;
  list<const E extends Path<C> = never>(query?: ListQuery<E>): Promise<Page<Expanded<C, E>>>;
  /** Yields the records of every page. */
  all<const E extends Path<C> = never>(query?: ListQuery<E>): AsyncIterableIterator<Expanded<C, E>>;
  /** A list that is kept true. Equal lists are one. */
  live<const E extends Path<C> = never>(query?: Query<E>): Live<Expanded<C, E>>;
}
interface ReadsView<R> {
  list(): Promise<Page<R>>;
  /** The rows, kept true: another array whenever one has changed. */
  live(): Live<R>;
}
interface Creates<C extends string, V> {
  /** Shown at once in live lists. While offline it waits in the outbox, as do update and delete. */
  create(values: V & { id?: IdOf<C> }): Promise<C extends Name ? Row<C> : any>;
}
interface Updates<C extends string, V> {
  /** With a version the update is refused as stale if somebody else was faster. */
  update(id: IdOf<C>, values: V, options?: { version?: number }): Promise<C extends Name ? Row<C> : any>;
}
interface Deletes<C extends string> {
  delete(id: IdOf<C>, options?: { version?: number }): Promise<void>;
}

/** What can be done with the records of a collection: what a rule opens, and nothing else. */
export type Collection<C extends Name> = { readonly collection: C }
  & (Collections[C] extends { record: any } ? Reads<C> : {})
  & (Collections[C] extends { create: infer V } ? Creates<C, V> : {})
  & (Collections[C] extends { update: infer V } ? Updates<C, V> : {})
  & (Collections[C] extends { delete: true } ? Deletes<C> : {});

/** What is shown before an action has answered. */
export type Local = { readonly [C in Name]: {
  create(values: Partial<Row<C>>): void;
  update(id: IdOf<C>, values: { [F in keyof Row<C>]?: Row<C>[F] | (Row<C>[F] extends number | null ? NumberOperator : never) }): void;
  delete(id: IdOf<C>): void;
} };

export interface ActionOptions {
  /** The idempotency key; the same key has the same answer. One is made for each call. */
  key?: string;
  /** What to show at once, until the answer is there. */
  optimistic?: (local: Local) => void;
  /** Whether the call waits in the outbox while there is no connection. */
  offline?: boolean;
}
type Call<A> = A extends { input: infer I; output: infer O }
  ? [I] extends [undefined] ? (input?: undefined, options?: ActionOptions) => Promise<O>
    : (input: I, options?: ActionOptions) => Promise<O>
  : never;

type Creatable = { [C in Name]: Collections[C] extends { create: any } ? C : never }[Name];
type Updatable = { [C in Name]: Collections[C] extends { update: any } ? C : never }[Name];
type Deletable = { [C in Name]: Collections[C] extends { delete: true } ? C : never }[Name];

/** One part of a batch. */
export type Operation =
  | { [C in Creatable]: { create: C; values: In<Collections[C], "create", any> & { id?: IdOf<C> } } }[Creatable]
  | { [C in Updatable]: { update: C; id: IdOf<C>; values: In<Collections[C], "update", any>; version?: number } }[Updatable]
  | { [C in Deletable]: { delete: C; id: IdOf<C>; version?: number } }[Deletable]
  | { [A in keyof Actions]: { action: A; input: In<Actions[A], "input", any> } }[keyof Actions];
type Result<O> = O extends { create: infer C extends Name } ? Row<C>
  : O extends { update: infer C extends Name } ? Row<C>
  : O extends { action: infer A extends keyof Actions } ? In<Actions[A], "output", any>
  : undefined;

/** A change that waits to be sent, or that was refused. */
export interface Change {
  readonly kind: "create" | "update" | "delete" | "action";
  /** The collection, or the action. */
  readonly name: string;
  readonly id?: string;
  readonly values?: any;
  readonly version?: number;
}

/** Who is in a channel. */
export interface Present {
  readonly who: string;
  readonly user?: { readonly id: string; readonly [field: string]: any };
  readonly state?: any;
  /** Whether it is this page. */
  readonly self?: true;
}

/** A channel that the page is in, until it leaves. */
export interface Channel extends Store<readonly Present[]> {
  readonly present: readonly Present[];
  readonly problem?: Problem;
  on(event: "message", fn: (message: any, from: { who: string; user?: any }) => void): Channel;
  on(event: "joined" | "left", fn: (who: Present) => void): Channel;
  on(event: "state", fn: (state: any, who: Present | undefined) => void): Channel;
  on(event: "present", fn: (present: readonly Present[]) => void): Channel;
  on(event: "ended", fn: (problem: Problem) => void): Channel;
  off(event: string, fn: (...args: any[]) => void): Channel;
  /** Sends to all others. It is not kept: who is away misses it. */
  send(message: unknown): Channel;
  /** Shows the others a state of this page, such as where its cursor is. */
  state(value: unknown): Channel;
  leave(): void;
}

/** The user's record as he may see it himself. */
export type SignedIn = Part<"user", { readonly id: string; readonly [field: string]: any }>;

/** A device on which somebody is signed in. */
export interface Session {
  readonly id: string;
  readonly created: string;
  readonly ends: string;
  readonly address: string;
  readonly agent: string;
  readonly current: boolean;
}

type HouseCode = "invalid_request" | "invalid_filter" | "invalid_cursor" | "idempotency_key_missing"
  | "unauthenticated" | "forbidden" | "not_found" | "method_not_allowed" | "already_exists" | "in_use"
  | "in_progress" | "reply_not_kept" | "refused" | "stale" | "too_large" | "unsupported_type"
  | "invalid_input" | "idempotency_key_reused" | "rate_limited" | "internal" | "proxy_failed"
  | "unavailable" | "unknown" | "timeout" | "offline";

/** Every code with which a call of this app may fail. offline: nothing answered. */
export type Code = HouseCode | Part<"codes", string & {}>;

/** Every failure of a call. Its message is a sentence that can be shown. */
export class Problem extends Error {
  constructor(said: { code: string; status: number; title?: string });
  readonly code: Code;
  /** The status of HTTP; 0 where nothing answered. */
  readonly status: number;
  readonly detail?: string;
  readonly data: { readonly [name: string]: any };
  /** What is wrong with the input, each with a pointer to it. */
  readonly errors: ReadonlyArray<{ readonly pointer: string; readonly code: string; readonly detail: string }>;
  /** The request's id, by which the developer finds it. */
  readonly request?: string;
  /** The seconds after which it may be tried again. */
  readonly after?: number;
}

interface House {
  readonly actions: Loose<keyof Actions> extends true ? Record<string, any>
    : { readonly [A in keyof Actions]: Call<Actions[A]> };
  /** Does all or nothing. */
  batch<const O extends readonly Operation[]>(operations: O, options?: { key?: string }):
    Promise<{ -readonly [I in keyof O]: Result<O[I]> }>;
  readonly jobs: {
    /** Waits until a job has ended, and yields its result or throws its problem. */
    follow(id: string, progress?: (progress: { done: number; total: number }) => void): Promise<any>;
    cancel(id: string): Promise<void>;
  };
  /**
   * Whether the server can be reached, as far as is known: from the socket while something is
   * live, else from the last call.
   */
  readonly line: Store<"live" | "offline"> & { readonly state: "live" | "offline" };
  /** Joins a channel. */
  channel(name: string, options?: { state?: unknown }): Channel;
  /** Asks another server through this one. */
  readonly proxy: Loose<Part<"proxies", string>> extends true ? Record<string, any>
    : { readonly [P in Part<"proxies", string>]:
      (path: string, query?: { readonly [name: string]: string | number | boolean },
        options?: { method?: string; body?: unknown }) => Promise<any> };
  readonly auth: {
    /** Who is signed in, as far as is known by now. */
    readonly user: SignedIn | null;
    /** Calls the function once it is known who is signed in, and at each change. */
    onChange(fn: (user: SignedIn | null) => void): () => void;
    /** The new user, signed in; null where the address must be confirmed first. */
    signUp(input: Part<"signUp", { email: string; password: string; [field: string]: any }>): Promise<SignedIn | null>;
    signIn(input: { email: string; password: string }): Promise<SignedIn>;
    signOut(): Promise<void>;
    sessions(): Promise<Session[]>;
    endSession(id: string): Promise<void>;
    changePassword(input: { old: string; new: string }): Promise<void>;
    deleteAccount(): Promise<void>;
  };
  /** The changes that wait to be sent. They are kept over reloads. */
  readonly outbox: {
    readonly pending: readonly Change[];
    onChange(fn: (pending: readonly Change[]) => void): () => void;
    /** Calls the function for each change that had waited and is refused. */
    onRefused(fn: (problem: Problem, change: Change) => void): () => void;
  };
}

/** The API of this app. Without generated types every name is taken. */
export type Api = House & (Loose<Name> extends true ? { readonly [name: string]: any }
  : { readonly [C in Name as C extends keyof House ? never : C]: Collection<C> }
    & { readonly [V in keyof Views]: ReadsView<Views[V]> });

/** The API of an app: of the page's own origin, unless url names another. */
export function galley(options?: { url?: string; fetch?: typeof fetch }): Api;

/** The API that this page made first. */
export function ours(): Api;
