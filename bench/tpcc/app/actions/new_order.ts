import { action } from "galley";

export default action("new_order", async (tx, input) => {
  let district = await tx.db.districts.get(input.district);
  const warehouse = await tx.db.warehouses.get(district.warehouse);
  const customer = await tx.db.customers.get(input.customer);
  const number = district.next_order;
  district = await tx.db.districts.update(district, { next_order: number + 1 });

  let sum = 0;
  let local = true;
  const lines = [];
  const said = [];
  for (const { stock: id, quantity } of input.lines) {
    const stock = await tx.db.stock.get(id); // an item that is not there ends the call here
    const item = await tx.db.items.get(stock.item);
    const home = stock.warehouse === warehouse.id;
    const left = stock.quantity - quantity;
    await tx.db.stock.update(stock, {
      quantity: left >= 10 ? left : left + 91,
      ytd: stock.ytd + quantity,
      orders: stock.orders + 1,
      remote: stock.remote + (home ? 0 : 1),
    });
    local = local && home;
    const amount = quantity * item.price;
    sum += amount;
    lines.push({ stock: id, quantity, amount, info: stock.info[district.number - 1] });
    said.push({
      name: item.name, price: item.price, amount, stock: stock.quantity,
      brand: item.data.includes("ORIGINAL") && stock.data.includes("ORIGINAL"),
    });
  }

  const order = await tx.db.orders.insert({
    district: district.id, number, customer: customer.id, lines: lines.length, local,
  });
  await tx.db.new_orders.insert({ order: order.id, district: district.id, number });
  let n = 0;
  for (const line of lines) {
    n++;
    await tx.db.order_lines.insert({ order: order.id, number: n, ...line });
  }
  const taxed = 10_000 + warehouse.tax + district.tax;
  const total = Math.floor((sum * (10_000 - customer.discount) * taxed) / 1e8);
  return { order: order.id, number, total, lines: said };
});
