import { action, add } from "galley";

export default action("delivery", async (tx, { warehouse, carrier }) => {
  // All is read before anything is written: then the call can run beside others.
  const due = [];
  for (const district of await tx.db.districts.list({ where: { warehouse }, sort: "number" })) {
    const oldest = await tx.db.new_orders.first({ district: district.id }, { sort: "number" });
    if (!oldest) continue; // nothing to deliver here
    const lines = await tx.db.order_lines.list({ where: { order: oldest.order } });
    due.push({ oldest, lines });
  }
  for (const { oldest, lines } of due) {
    await tx.db.new_orders.delete(oldest);
    const order = await tx.db.orders.update(oldest.order, { carrier });
    let total = 0;
    for (const line of lines) {
      await tx.db.order_lines.update(line, { delivered: tx.now });
      total += line.amount;
    }
    await tx.db.customers.update(order.customer, { balance: add(total), deliveries: add(1) });
  }
  return { delivered: due.length };
});
