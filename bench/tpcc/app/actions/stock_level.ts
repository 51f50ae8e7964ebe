import { action, cel } from "galley";

export default action("stock_level", async (tx, { district: id, threshold }) => {
  const district = await tx.db.districts.get(id);
  const first = district.next_order - 20;
  const orders = await tx.db.orders.list({
    where: cel`district == ${id} && number >= ${first}`, limit: 20,
  });
  const lines = await tx.db.order_lines.list({
    where: cel`order in ${orders.map((o) => o.id)}`,
  });
  const stock = [...new Set(lines.map((l) => l.stock))];
  let low = 0;
  for (let n = 0; n < stock.length; n += 100) { // a list that is bound has at most 100 items
    const some = stock.slice(n, n + 100);
    low += await tx.db.stock.count(cel`id in ${some} && quantity < ${threshold}`);
  }
  return { low };
});
