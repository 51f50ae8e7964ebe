package codegen

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
)

// testing writes the module "galley/test".
func (t *typescript) testing() {
	t.line("\ndeclare module \"galley/test\" {")
	t.line("  import type { Actions } from \"galley\";\n  import type * as app from \"galley\";\n")
	t.b.WriteString(tsTest)
	t.line("\n  /** Somebody outside: what a browser that is signed in as him can ask. */")
	t.line("  export interface Client {")
	t.line("    readonly id: string;")
	t.line("    readonly email: string;")
	t.line("    readonly actions: {")
	for _, a := range t.spec.Actions {
		t.line("      %s(%s, options?: Options): Promise<Wire<Actions[%q][\"output\"]>>;", key(a.Name),
			asked(a), a.Name)
	}
	t.line("    };")
	t.line("    /** Any other request: the answer, as what it says if it is JSON, else as text. A refusal is thrown as a Problem. */")
	t.line("    request(method: string, path: string, body?: unknown, " +
		"options?: Options): Promise<any>;")
	for _, c := range t.spec.Collections {
		n := t.names[c.Name]
		t.line("    readonly %s: Open<%q, app.%s, app.New%s, app.Change%s>;", key(c.Name), c.Name, n, n, n)
	}
	for _, v := range t.spec.Views {
		t.line("    readonly %s: { list(ask?: Ask): Promise<{ items: any[] }> };", key(v.Name))
	}
	t.line("  }\n")
	t.line("  /** All records, whatever the rules say: what an admin has. Checks hold. */")
	t.line("  export interface Records {")
	for _, c := range t.spec.Collections {
		n := t.names[c.Name]
		t.line("    readonly %s: Kept<%q, app.%s, app.New%s, app.Change%s>;", key(c.Name), c.Name, n, n, n)
	}
	t.line("  }\n")
	user := "{ email?: string }"
	if n := t.names["users"]; n != "" {
		user = "Partial<app.New" + n + ">"
	}
	t.b.WriteString(strings.ReplaceAll(tsTestWorld, "NEWUSER", user))
	t.line("}")
}

// asked is the input of an action as callers write it: what has a default may be left out.
func asked(a *spec.Action) string {
	if a.Input == nil || len(a.Input.Fields()) == 0 {
		return "input?: {}"
	}
	var defaults []string
	optional := "?"
	for _, f := range a.Input.Fields() {
		switch {
		case !f.Default.IsNull():
			defaults = append(defaults, strconv.Quote(f.Name))
		case !f.Type.Optional:
			optional = ""
		}
	}
	if defaults == nil {
		defaults = []string{"never"}
	}
	return fmt.Sprintf("input%s: Asked<Actions[%q][\"input\"], %s>", optional, a.Name,
		strings.Join(defaults, " | "))
}

const tsTest = `  /** A refusal, or any other answer that is not a success. */
  export class Problem extends Error {
    readonly status: number;
    readonly code: string;
    readonly title: string;
    readonly data?: { readonly [name: string]: any };
    readonly errors?: ReadonlyArray<{ pointer: string; code: string; detail: string }>;
    /** The answer as it came: JSON as what it says, all else as text. */
    readonly body: any;
  }

  /** What comes over the wire: dates are texts. */
  export type Wire<T> = T extends Date ? string : T extends string | number | boolean | null | undefined ? T :
    T extends void ? undefined : T extends object ? { [K in keyof T]: Wire<T[K]> } : T;
  /** What is sent: dates may be dates or texts, ids any text. */
  export type Sent<T> = T extends Date ? Date | string : T extends string ? T | string :
    T extends number | boolean | null | undefined ? T :
    T extends ReadonlyArray<infer E> ? ReadonlyArray<Sent<E>> :
    T extends object ? { [K in keyof T]: Sent<T[K]> } : T;

  /** An input of which what has a default may be left out. */
  export type Asked<Input, Defaults extends keyof Input> =
    Sent<Omit<Input, Defaults> & Partial<Pick<Input, Defaults>>>;

  export interface Options {
    /** For idempotency. Without one each call is another. */
    key?: string;
    headers?: { readonly [name: string]: string };
  }

  export interface Filter { readonly text: string }
  /** A condition in CEL with values in it. */
  export function cel(text: TemplateStringsArray, ...values: unknown[]): Filter;
  export function add(n: number): any;
  export function append(item: unknown): any;
  export function remove(item: unknown): any;
  export function max(n: number): any;
  export function min(n: number): any;

  export interface Ask {
    where?: Filter | { [field: string]: unknown };
    filter?: Filter | string;
    sort?: string;
    limit?: number;
    fields?: string;
    expand?: string;
  }

  /** A collection as the outside sees it, under its rules. */
  export interface Open<Name extends string, R, New, Change> {
    list(ask?: Ask): Promise<{ items: Wire<R>[]; next?: string }>;
    get(id: string): Promise<Wire<R>>;
    create(fields: Sent<Partial<New>>): Promise<Wire<R>>;
    update(id: string, fields: { [F in keyof Change]?: Sent<Change[F]> }): Promise<Wire<R>>;
    delete(id: string): Promise<void>;
  }

  /** A collection in the words of tx.db. */
  export interface Kept<Name extends string, R, New, Change> {
    get(id: string | { readonly id: string }): Promise<R>;
    first(where?: Ask["where"], options?: { sort?: string }): Promise<R | null>;
    list(ask?: Ask): Promise<R[]>;
    count(where?: Ask["where"]): Promise<number>;
    insert(fields: Sent<New>): Promise<R>;
    update(id: string | { readonly id: string }, fields: { [F in keyof Change]?: any }): Promise<R>;
    delete(id: string | { readonly id: string }): Promise<void>;
  }
`

const tsTestWorld = `  export interface Mail {
    readonly to: string;
    readonly subject: string;
    readonly text: string;
    readonly html: string;
    readonly links: readonly string[];
  }

  export interface HostRequest {
    readonly method: string;
    readonly url: string;
    readonly headers: { readonly [name: string]: string };
    readonly body: string;
    json(): any;
  }
  export type HostAnswer = string | { status?: number; headers?: { [name: string]: string }; body?: unknown; json?: unknown };

  /** The app that a test has for itself. */
  export interface World {
    readonly db: Records;
    /** The app's time. It stands still but for advance. */
    readonly now: Date;
    /** Makes a user whose address is verified. */
    user(fields?: NEWUSER & { email?: string; verified?: boolean }): Promise<Client>;
    /** Somebody who is not signed in. */
    readonly visitor: Client;
    /** Waits for calls that run at once: what each gave, or its Problem. */
    together(...calls: Promise<any>[]): Promise<any[]>;
    /** Lets time pass, such as "14d", and whatever is due by then be done. */
    advance(time: string | number): Promise<void>;
    /** Lets whatever is due now be done. */
    settle(): Promise<void>;
    /** The mails that left, the first one first. */
    readonly mail: {
      list(to?: string): Promise<Mail[]>;
      last(to?: string): Promise<Mail | null>;
      /** Follows a link, as its reader does: the path that it leads to. */
      click(link: string): Promise<string>;
      /** Unsubscribes with the one click of a mail program. */
      unsubscribe(mail: Mail): Promise<void>;
    };
    /** Plays another host, such as https://api.example.com; no other can be reached. */
    host(url: string, answer: HostAnswer | ((request: HostRequest) => HostAnswer | Promise<HostAnswer>)): void;
    /** Sends a signed call of somebody outside. */
    webhook(name: string, body: unknown, options?: { id?: string }): Promise<{ status: number; body: string }>;
    request(method: string, path: string, body?: unknown, options?: Options): Promise<any>;
  }

  /** A test. It has a fresh app. */
  export function test(name: string, run: (t: World) => void | Promise<void>): void;

  type Awaitable<M> = { [K in keyof M]: M[K] extends (...args: infer A) => void ? (...args: A) => Promise<void> : never };
  export interface Matchers {
    toBe(want: unknown): void;
    toEqual(want: unknown): void;
    toMatchObject(want: unknown): void;
    toMatch(want: string | RegExp): void;
    toContain(want: unknown): void;
    toContainEqual(want: unknown): void;
    toHaveLength(want: number): void;
    toBeGreaterThan(want: number): void;
    toBeGreaterThanOrEqual(want: number): void;
    toBeLessThan(want: number): void;
    toBeLessThanOrEqual(want: number): void;
    toBeCloseTo(want: number, digits?: number): void;
    toBeTruthy(): void;
    toBeFalsy(): void;
    toBeNull(): void;
    toBeUndefined(): void;
    toBeDefined(): void;
    toBeInstanceOf(want: Function): void;
    /** A code, a part of the message, or the members that it has. */
    toThrow(want?: string | RegExp | object): void;
  }
  export function expect(actual: unknown): Matchers & {
    not: Matchers;
    resolves: Awaitable<Matchers> & { not: Awaitable<Matchers> };
    rejects: Awaitable<Matchers> & { not: Awaitable<Matchers> };
  };
`
