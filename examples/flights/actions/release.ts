import { action, refuse } from "galley";

export default action("release", (tx, { flight, seat }) => {
  const held = tx.db.seats.first({ flight, seat, user: tx.auth.id });
  if (!held?.until) throw refuse("not_held");
  tx.db.seats.delete(held);
});
