import { add, hook, refuse } from "galley";

export default hook("seats", {
  create(tx, seat) {
    tx.db.flights.update(seat.flight, { left: add(-1) });
  },

  delete(tx, seat) {
    if (!tx.db.flights.first({ id: seat.flight })) return; // the whole flight is being deleted
    if (!seat.until) throw refuse("sold_for_good");
    tx.db.flights.update(seat.flight, { left: add(1) });
  },
});
