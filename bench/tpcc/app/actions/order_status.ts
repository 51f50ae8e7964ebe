import { action, refuse } from "galley";
import { find } from "../customer";

export default action("order_status", async (tx, input) => {
  const c = await find(tx, input);
  const order = await tx.db.orders.first({ customer: c.id }, { sort: "-number" });
  if (!order) throw refuse("not_found");
  const lines = await tx.db.order_lines.list({ where: { order: order.id }, sort: "number" });
  return {
    customer: c.id, balance: c.balance, order: order.id, number: order.number,
    carrier: order.carrier,
    lines: lines.map(({ stock, quantity, amount, delivered }) =>
      ({ stock, quantity, amount, delivered })),
  };
});
