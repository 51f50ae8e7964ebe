import { ours } from "@galley/client";
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

/** useLive is a live list as an array, with its state, drawn anew whenever they change. */
export function useLive(collection: any, query?: any) {
  const live = useMemo(() => collection.live(query), [collection, JSON.stringify(query)]);
  const last = useRef<any>(undefined);
  const snapshot = () => {
    const { items, state, problem } = live;
    const was = last.current;
    if (was?.live === live && was.items === items && was.state === state && was.problem === problem) return was.list;
    const list = Object.assign([...items], { state, problem });
    last.current = { live, items, state, problem, list };
    return list;
  };
  return useSyncExternalStore(live.subscribe, snapshot, snapshot);
}

/** useAction is a function that calls, and says whether it runs and how it ended. */
export function useAction(call: (...args: any[]) => Promise<any>) {
  const [now, set] = useState<any>({ count: 0 });
  const run = useCallback(async (...args: any[]) => {
    set((s: any) => ({ result: s.result, count: s.count + 1 }));
    try {
      const result = await call(...args);
      set((s: any) => ({ count: s.count - 1, result }));
      return result;
    } catch (problem: any) {
      set((s: any) => ({ ...s, count: s.count - 1, problem }));
      if (problem?.name !== "Problem") throw problem;
    }
  }, [call]);
  return useMemo(() => Object.assign((...args: any[]) => run(...args),
    { running: now.count > 0, problem: now.problem, result: now.result }), [run, now]);
}

/** useUser is who is signed in, null for nobody, undefined until that is known. */
export function useUser(api: any = ours()) {
  const [user, set] = useState<any>(undefined);
  useEffect(() => api.auth.onChange(set), [api]);
  return user;
}

/** usePresence is who is in a channel. The page is in it for as long as it is drawn. */
export function usePresence(name: string, options: { state?: any; api?: any } = {}) {
  const [present, set] = useState<readonly any[]>([]);
  const channel = useRef<any>(undefined);
  const api = options.api ?? ours();
  useEffect(() => {
    const c = (channel.current = api.channel(name, options));
    const stop = c.subscribe(set);
    return () => {
      stop();
      c.leave();
    };
  }, [api, name]);
  return useMemo(() => Object.assign([...present], {
    send: (message: unknown) => void channel.current?.send(message),
    state: (value: unknown) => void channel.current?.state(value),
  }), [present]);
}
