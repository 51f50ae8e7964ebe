import { action, cel, refuse } from "galley";
import { seatsOf } from "../lib/plan";

const holdTime = 5 * 60_000;
const most = 6;

// Two people who want the same seat at once are two transactions, one after the other: the second
// one finds the record of the first. And if this code forgot to look, `unique` would not.
export default action("hold", (tx, { flight: id, seat }) => {
  const flight = tx.db.flights.get(id);
  if (flight.departs <= tx.now) throw refuse("departed");
  const { plane } = tx.db.connections.get(flight.connection);
  if (!seatsOf(tx.db.planes.get(plane)).includes(seat)) throw refuse("no_such_seat");

  const user = tx.auth.id;
  const taken = tx.db.seats.first({ flight: id, seat });
  if (taken) {
    const over = taken.until && taken.until <= tx.now; // and nobody has tidied up yet
    if (!over) throw refuse("seat_taken", { seat });
    tx.db.seats.delete(taken);
  }
  if (tx.db.seats.count(cel`flight == ${id} && user == ${user} && until > ${tx.now}`) >= most) throw refuse("too_many");

  const until = new Date(tx.now.getTime() + holdTime);
  const held = tx.db.seats.insert({ flight: id, seat, user, until });
  tx.jobs.let_go({ seat: held.id });
  return { until };
});
