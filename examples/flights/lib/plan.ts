import type { Connection, Tx } from "galley";

const day = 24 * 3600_000;
const days = 2;

/** The names of all seats of a plane, from the front to the back. */
export function seatsOf({ rows, cabin }: { rows: number; cabin: string }): string[] {
  const letters = [...cabin.replaceAll(" ", "")];
  return Array.from({ length: rows }, (_, i) => letters.map((l) => `${i + 1}${l}`)).flat();
}

/** Makes the next departures of a connection, those that are not there yet. */
export function plan(tx: Tx, connection: Connection) {
  const [hour, minute] = connection.leaves.split(":").map(Number);
  const today = Date.UTC(tx.now.getUTCFullYear(), tx.now.getUTCMonth(), tx.now.getUTCDate(), hour, minute);
  const first = today > tx.now.getTime() ? today : today + day;
  const all = seatsOf(tx.db.planes.get(connection.plane));
  for (let i = 0; i < days; i++) {
    const departs = new Date(first + i * day);
    if (tx.db.flights.first({ connection: connection.id, departs })) continue;
    const flight = tx.db.flights.insert({ connection: connection.id, departs, price: connection.price, left: all.length });
    // Agents sit all over the plane: a step that shares no factor with the number of seats
    // comes to each of them once.
    for (let n = 0; n < Math.min(connection.agents, all.length); n++) {
      tx.db.seats.insert({ flight: flight.id, seat: all[(n * 37 + i * 11) % all.length]! });
    }
  }
}
