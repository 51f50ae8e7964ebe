// The hooks of Galley for React. Each draws its component anew whenever what it shows changes.

import type { Api, Live, Present, Problem, SignedIn } from "@galley/client";

/** The records of a live list, with its state. */
export type LiveList<T> = readonly T[] & { readonly state: Live<T>["state"]; readonly problem?: Problem };

type Item<C> = C extends { live(query?: any): Live<infer T> } ? T : any;

/** A live list, for as long as the component is drawn. Equal lists are one. */
export function useLive<C extends { live(query?: any): Live<any> },
  const Q extends Parameters<C["live"]>[0] = undefined>(collection: C, query?: Q): LiveList<
    C extends { live(query: Q): Live<infer T> } ? T : Item<C>>;

/** A call, and how it goes. A problem of the call is in problem, and the call yields undefined. */
export type Action<F extends (...args: any[]) => Promise<any>> =
  ((...args: Parameters<F>) => Promise<Awaited<ReturnType<F>> | undefined>) & {
    /** Whether a call is under way. */
    readonly running: boolean;
    /** The problem of the last call, until the next begins. */
    readonly problem?: Problem;
    /** What the last call that went well returned. */
    readonly result?: Awaited<ReturnType<F>>;
  };

/** A function that calls, such as useAction(api.actions.checkout). */
export function useAction<F extends (...args: any[]) => Promise<any>>(call: F): Action<F>;

/** Who is signed in, null for nobody, undefined until that is known. */
export function useUser(api?: Api): SignedIn | null | undefined;

/** Who is in a channel, and how to speak to them. */
export type Presence = readonly Present[] & {
  send(message: unknown): void;
  /** Shows the others a state of this page. */
  state(value: unknown): void;
};

/** Is in a channel for as long as the component is drawn. */
export function usePresence(name: string, options?: { state?: unknown; api?: Api }): Presence;
