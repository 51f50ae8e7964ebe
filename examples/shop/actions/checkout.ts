import { action, refuse } from "galley";

// The stock, the wallet and the use count of a discount are not tested here: the
// checks in galley.yaml hold for every commit, so that no line can forget them.
export default action("checkout", async (tx, input) => {
  let discount = null;
  if (input.code) {
    discount = await tx.db.discounts.first({ code: input.code });
    if (!discount || (discount.expires && discount.expires < tx.now)) {
      throw refuse("discount_invalid");
    }
    await tx.db.discounts.update(discount, { uses: discount.uses + 1 });
  }

  let total = 0;
  const lines = [];
  for (const { product: id, quantity } of input.items) {
    const product = await tx.db.products.get(id);
    if (!product.listed) throw refuse("not_found", { product: id });
    await tx.db.products.update(product, { stock: product.stock - quantity });
    lines.push({ product: id, quantity, price: product.price });
    total += product.price * quantity; // the price is the shop's, whatever the browser showed
  }
  if (discount) total -= Math.floor((total * discount.percent) / 100);

  const user = await tx.db.users.update(tx.auth, { wallet: tx.auth.wallet - total });
  const order = await tx.db.orders.insert({ customer: user.id, total, discount: discount?.id });
  for (const line of lines) await tx.db.order_items.insert({ order: order.id, ...line });

  return { order: order.id, balance: user.wallet };
});
