/** What is kept over reloads; Shelf keeps it in IndexedDB, or in memory where there is none. */
export type Shelf = ReturnType<typeof makeShelf>;

/** How many lists are kept, and for how long. */
const listMax = 100;
const listTime = 30 * 24 * 3600_000;

export interface Kept { items: any[]; user: string; time: number }

export function makeShelf(name: string) {
  let opened: Promise<IDBDatabase | undefined> | undefined;
  const memory: { outbox: Map<any, any>; lists: Map<any, any> } = { outbox: new Map(), lists: new Map() };
  let count = 0;

  const open = () =>
    (opened ??= new Promise((done) => {
      try {
        const r = indexedDB.open(name, 1);
        r.onupgradeneeded = () => {
          r.result.createObjectStore("outbox", { keyPath: "n", autoIncrement: true });
          r.result.createObjectStore("lists");
        };
        r.onsuccess = () => {
          r.result.onversionchange = r.result.onclose = () => {
            r.result.close();
            opened = undefined;
          };
          done(r.result);
        };
        r.onerror = () => done(undefined);
      } catch {
        done(undefined);
      }
    }));

  /**
   * run does something in one transaction, and yields what the request came to. A transaction
   * that waits to be committed ends with its page, so that one with a request is told at once:
   * what is kept as a page is left has no later moment.
   */
  async function run<T>(store: "outbox" | "lists", work: (s: IDBObjectStore) => IDBRequest<T> | undefined,
    instead: (m: Map<any, any>) => T): Promise<T> {
    const db = await open();
    if (!db) return instead(memory[store]);
    return new Promise((done, fail) => {
      const tx = db.transaction(store, "readwrite");
      const r = work(tx.objectStore(store));
      if (r) tx.commit?.();
      tx.oncomplete = () => done(r?.result as T);
      tx.onabort = () => fail(tx.error);
    });
  }

  return {
    /** add puts an entry at the end of the outbox and returns its number. */
    add: (entry: any) =>
      run<any>("outbox", (s) => s.add(entry), (m) => {
        m.set(++count, { ...entry, n: count });
        return count;
      }),

    entries: () => run<any[]>("outbox", (s) => s.getAll(), (m) => [...m.values()]),

    /** take removes an entry and reports whether it was there. */
    take: (n: number) =>
      run<number>("outbox", (s) => {
        const r = s.count(n);
        s.delete(n);
        return r;
      }, (m) => +m.delete(n)).then((n) => n > 0),

    list: (key: string) => run<Kept | undefined>("lists", (s) => s.get(key), (m) => m.get(key)),

    keep: (key: string, kept: Kept) =>
      run<any>("lists", (s) => s.put(kept, key), () => undefined),

    /** forget removes lists that are old, too many, or not the user's. */
    forget: (user: string) =>
      run<any>("lists", (s) => {
        const all: Array<[IDBValidKey, number]> = [];
        const r = s.openCursor();
        r.onsuccess = () => {
          const c = r.result;
          if (!c) {
            all.sort((a, b) => b[1] - a[1]).slice(listMax).forEach(([key]) => s.delete(key));
            return;
          }
          if (c.value.user !== user || c.value.time < Date.now() - listTime) c.delete();
          else all.push([c.key, c.value.time]);
          c.continue();
        };
        return undefined;
      }, () => undefined),
  };
}
