package codegen

import (
	"fmt"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
)

// after writes what code does beside actions: hooks, jobs, webhooks and routes.
func (t *typescript) after(user string) {
	secrets := "never"
	if len(t.spec.Secrets) > 0 {
		var names []string
		for _, s := range t.spec.Secrets {
			names = append(names, fmt.Sprintf("%q", s.Name))
		}
		secrets = strings.Join(names, " | ")
	}
	t.line("\n  /** The secrets that the app file names. */\n  export type Secret = %s;\n", secrets)
	t.line("  /** The names of channels. */\n  export type Channel = %s;\n", t.channelNames())
	t.line("  /** The jobs of %s. */\n  export interface Jobs {", t.spec.App)
	for _, j := range t.spec.Jobs {
		t.job(j)
	}
	t.line("  }\n\n  /** The mails of %s. */\n  export interface Emails {", t.spec.App)
	for _, e := range t.spec.Emails {
		t.doc("    ", e.Doc)
		t.line("    %s: true;", key(e.Name))
	}
	t.line("  }\n\n  /** The hooks that the collections of %s name. */\n  export interface Hooks {", t.spec.App)
	for _, c := range t.spec.Collections {
		t.hooks(c)
	}
	t.line("  }\n\n  /** The webhooks of %s. */\n  export interface Webhooks {", t.spec.App)
	for _, w := range t.spec.Webhooks {
		t.doc("    ", w.Doc)
		t.line("    %s: true;", key(w.Name))
	}
	t.line("  }\n\n  /** The routes of %s. */\n  export interface Routes {", t.spec.App)
	for _, r := range t.spec.Routes {
		t.route(r, user)
	}
	t.line("  }")
	t.b.WriteString(tsAfter)
}

func (t *typescript) job(j *spec.Job) {
	t.doc("    ", j.Doc)
	input, given := "undefined", ""
	switch {
	case j.On != nil:
		input = t.names[j.On.Collection]
		given = "input: " + input
	case j.Input != nil:
		input = t.object(j.Input, true, "      ", j.Docs, "input")
		given = "input: " + t.object(j.Input, false, "      ", j.Docs, "input")
	}
	t.line("    %s: {", key(j.Name))
	t.line("      input: %s;", input)
	t.line("      start(%s): Started;", given)
	t.line("    };")
}

// channelNames writes the names that channels can have.
func (t *typescript) channelNames() string {
	var names []string
	for _, c := range t.spec.Channels {
		var parts []string
		for _, p := range c.Parts {
			if p.Word == "" {
				p.Word = "${string}"
			}
			parts = append(parts, p.Word)
		}
		names = append(names, "`"+strings.Join(parts, "/")+"`")
	}
	if len(names) == 0 {
		return "never"
	}
	return strings.Join(names, " | ")
}

func (t *typescript) hooks(c *spec.Collection) {
	if len(c.Hooks) == 0 {
		return
	}
	n := t.names[c.Name]
	t.line("    %s: {", key(c.Name))
	for _, h := range c.Hooks {
		before := ""
		if h.Name == "update" {
			before = ", before: " + n
		}
		t.line("      %s(tx: Tx, record: %s%s): unknown;", h.Name, n, before)
	}
	t.line("    };")
}

// route writes what the functions of a route take and give.
func (t *typescript) route(r *spec.Route, user string) {
	t.doc("    ", r.Doc)
	auth := user
	if user != "null" && !t.signedIn("routes/"+r.Name) {
		auth += " | null"
	}
	request, reply := "Request", "Reply | void | Promise<Reply | void>"
	helper, problem := t.spec.Helps(r.Name)
	switch {
	case helper:
		who := "string | null | undefined"
		if user != "null" {
			who += " | " + user
		}
		reply = fmt.Sprintf("%s | Promise<%s>", who, who)
	case problem:
		request = "Problem"
	case r.Input != nil:
		request += " & { readonly input: " + t.object(r.Input, true, "      ", r.Docs, "input") + " }"
	}
	run := fmt.Sprintf("(tx: Tx<%s>, request: %s) => %s", auth, request, reply)
	t.line("    %s: {", key(r.Name))
	t.line("      one: %s;", run)
	t.line("      all: {")
	for _, p := range r.Paths {
		t.line("        %q: %s;", p.Method+" "+p.Path, run)
	}
	t.line("      };")
	t.line("    };")
}

const tsAfter = `
  /** A job that was started. */
  export interface Started { readonly id: string }

  /** What a mail is given. Without to it goes to whom the app file names. */
  export interface Letter {
    to?: string | { readonly id: string } | ReadonlyArray<string | { readonly id: string }>;
    /** The record that it is about. */
    record?: string | { readonly id: string };
    /** Whatever else its template shows. */
    data?: unknown;
  }

  /** The end of a job for good: throw fail("…"). */
  export interface Failure extends Error { readonly code: Code }

  /** Makes the error by which a job ends for good: a retry would not help. */
  export function fail(code: Code): Failure;

  /** One attempt of a step. */
  export interface Step {
    /** The same at each attempt of this step, so that the other side can tell a repetition by it. */
    readonly key: string;
    /** Asks another server. It cannot be used outside of its step. */
    fetch(address: string | URL, init?: {
      method?: string;
      headers?: Headers | Iterable<readonly [string, string]> | { readonly [name: string]: string };
      body?: string | ArrayBuffer | ArrayBufferView | URLSearchParams | null;
    }): Promise<Response>;
  }

  /** One run of a job from its top. What it does outside of steps must have no effect and come out the same. */
  export interface JobContext {
    /** Does what reaches outside. It is tried again until it succeeds; what it returned is kept, as JSON. */
    step<T>(name: string, run: (step: Step) => T | Promise<T>): Promise<T>;
    /** A step that is one transaction: what it did and that it was done are one commit. */
    transaction<T>(name: string, run: (tx: Tx<null>) => T | Promise<T>): Promise<T>;
    /** Ends when the time has passed, such as "90s" or "3d". It survives restarts. */
    sleep(name: string, time: string | number): Promise<void>;
    /** The next event, such as webhook:stripe. Throws an error with the code timeout if none comes in time. */
    wait(event: string, options?: { timeout?: string | number }): Promise<any>;
    /** Is shown to who started the job. */
    progress(done: number, total: number): void;
    secret(name: Secret): string;
    log(message: string, fields?: { [name: string]: unknown }): void;
    readonly id: string;
    readonly attempt: number;
    readonly now: Date;
    random(): number;
  }

  /** The code of a job. It is the default export of jobs/<name>.ts. */
  export interface Job<Name extends keyof Jobs> { readonly name: Name }

  /** Says what a job does. It runs again from its top after a failure, and finished steps return what they did. */
  export function job<Name extends keyof Jobs>(
    name: Name, run: (job: JobContext, input: Jobs[Name]["input"]) => unknown,
  ): Job<Name>;

  /** The code of a collection's hooks. It is the default export of hooks/<collection>.ts. */
  export interface Hook<Name extends keyof Hooks> { readonly name: Name }

  /** Says what happens with a record in the transaction that wrote it, before it commits. */
  export function hook<Name extends keyof Hooks>(name: Name, on: Hooks[Name]): Hook<Name>;

  /** A verified call from outside. */
  export interface Event {
    readonly id: string;
    /** The body, null if it is no JSON. */
    readonly body: any;
    readonly headers: { readonly [name: string]: string | undefined };
    /** The body as it came. */
    readonly raw: string;
  }

  /** The code of a webhook. It is the default export of webhooks/<name>.ts. */
  export interface Webhook<Name extends keyof Webhooks> { readonly name: Name }

  /** Says what a verified call does, once for each id. */
  export function webhook<Name extends keyof Webhooks>(
    name: Name, run: (tx: Tx<null>, event: Event) => unknown,
  ): Webhook<Name>;

  /** A request of one of the app's own URLs. */
  export interface Request {
    /** The method and path of the app file that it took. */
    readonly route: string;
    readonly method: string;
    readonly path: string;
    readonly ip: string;
    /** What stands for each {name} of the path. */
    readonly params: { readonly [name: string]: string };
    readonly query: { readonly [name: string]: string | undefined };
    /** By names in small letters. */
    readonly headers: { readonly [name: string]: string | undefined };
    /** The body as text, "" if it is none, and as JSON, null if it is none. */
    readonly text: string;
    readonly json: any;
    readonly base64: string;
  }

  /** An answer. Text is sent as it is, bytes too, all else as JSON; without a body the status is 200. */
  export interface Reply {
    status?: number;
    headers?: { readonly [name: string]: string | number | readonly string[] };
    body?: unknown;
  }

  /** What would be answered to a request that failed. */
  export interface Problem {
    readonly status: number;
    readonly code: Code | (string & {});
    readonly title: string;
    readonly detail?: string;
    readonly data?: { readonly [name: string]: string | number | boolean };
    readonly errors?: ReadonlyArray<{ readonly pointer: string; readonly code: string; readonly detail: string }>;
    readonly request: string;
  }

  /** The code of a route. It is the default export of routes/<name>.ts. */
  export interface Route<Name extends keyof Routes> { readonly name: Name }

  /** Says what a route answers: with one function, or with one for each of its paths. */
  export function route<Name extends keyof Routes>(
    name: Name, run: Routes[Name]["one"] | Routes[Name]["all"],
  ): Route<Name>;
`
