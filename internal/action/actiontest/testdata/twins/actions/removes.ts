import { action } from "galley";

export default action("removes", (tx, { order }) => {
  tx.db.orders.delete(order);
});
