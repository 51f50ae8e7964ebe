/** What a problem says on the wire, or what stands for it where nothing was answered. */
export interface Said {
  code: string;
  status: number;
  title?: string;
  detail?: string;
  data?: Record<string, unknown>;
  errors?: unknown[];
  at?: unknown;
  request?: string;
}

/** Every failure of a call. Its message is a sentence that can be shown. */
export class Problem extends Error {
  declare readonly code: string;
  declare readonly status: number;
  declare readonly detail?: string;
  declare readonly request?: string;
  /** The seconds after which it may be tried again. */
  declare readonly after?: number;

  constructor(said: Said, after?: number) {
    super(said.title ?? said.detail ?? said.code);
    Object.assign(this, { name: "Problem", data: {}, errors: [], after }, said);
  }
}

/** offline is the problem of a call that reached nobody. */
export const offline = () =>
  new Problem({ code: "offline", status: 0, title: "There is no connection to the server." });

/** passing reports that the same call may succeed later without anybody doing anything. */
export const passing = (p: Problem) =>
  !p.status || p.status === 503 || p.status === 504 || p.status === 429 || p.code === "in_progress";

/** pause is how many milliseconds to wait before the next try, after n have failed. */
export const pause = (p: Problem | undefined, n: number) =>
  Math.max((p?.after ?? 0) * 1000, (0.5 + Math.random() / 2) * Math.min(200 * 2 ** n, 20_000));
