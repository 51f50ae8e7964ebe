import { action, refuse } from "galley";

export default action("checkout", async (tx, input) => {
  let total = 0;
  const lines = [];
  for (const { product: id, quantity } of input.items) {
    const product = await tx.db.products.get(id);
    if (!product.listed) throw refuse("not_found", { product: id });
    await tx.db.products.update(product, { stock: product.stock - quantity });
    lines.push({ product: id, quantity, price: product.price });
    total += product.price * quantity;
  }
  const user = await tx.db.users.update(tx.auth, { wallet: tx.auth.wallet - total });
  const order = await tx.db.orders.insert({ customer: user.id, total });
  for (const line of lines) await tx.db.order_items.insert({ order: order.id, ...line });
  return { order: order.id, balance: user.wallet };
});
