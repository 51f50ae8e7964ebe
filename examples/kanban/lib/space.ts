/** What has a place among others. */
interface Placed {
  id: string;
  position: number;
}

// Between two neighbours there is room to halve their distance twenty times.
const step = 1024;
const near = 1 / 1024;
const end = 1e12;

/** The places around one that are too near to put anything between. */
export const around = ({ position }: Placed) => [position - near, position + near] as const;

/**
 * New places for all of them, in the same order, far enough from each other. They lie beyond all
 * old ones, so that none meets another on its way there.
 */
export function spread<T extends Placed>(all: T[]): [T, number][] {
  if (all.length === 0) return [];
  const sorted = [...all].sort((a, b) => a.position - b.position || (a.id < b.id ? -1 : 1));
  const [first, last] = [sorted[0]!.position, sorted.at(-1)!.position];
  const length = step * (sorted.length + 1);
  const start = Math.ceil(last) + length < end ? Math.ceil(last) : Math.floor(first) - length;
  return sorted.map((one, i) => [one, start + step * (i + 1)]);
}
