import { action, cel, refuse } from "galley";

// That nobody spends what he does not have is a check of users, and not asked here.
export default action("pay", (tx, { flight: id }) => {
  const flight = tx.db.flights.get(id);
  if (flight.departs <= tx.now) throw refuse("departed");
  const user = tx.auth.id;
  const held = tx.db.seats.list({ where: cel`flight == ${id} && user == ${user} && until > ${tx.now}` });
  if (held.length === 0) throw refuse("not_held");

  const total = held.length * flight.price;
  const { wallet } = tx.db.users.update(tx.auth, { wallet: tx.auth.wallet - total });
  for (const seat of held) tx.db.seats.update(seat, { until: null });
  const booking = tx.db.bookings.insert({ user, flight: id, seats: held.map((s) => s.seat), total });
  return { booking: booking.id, balance: wallet };
});
