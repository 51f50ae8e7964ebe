/** hearers returns those who are told of something, until they do not want to be any more. */
export function hearers<T extends unknown[]>() {
  const all = new Set<(...args: T) => void>();
  return {
    /** add has a function told, until what it returns is called. */
    add(fn: (...args: T) => void) {
      all.add(fn);
      return () => void all.delete(fn);
    },
    tell: (...args: T) => [...all].forEach((fn) => fn(...args)),
  };
}
