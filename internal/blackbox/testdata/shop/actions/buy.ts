import { action } from "galley";

// Neither stock nor wallet is tested here: the checks in galley.yaml hold.
export default action("buy", async (tx, input) => {
  const product = await tx.db.products.get(input.product);
  await tx.db.products.update(product, { stock: product.stock - 1 });
  const user = await tx.db.users.update(tx.auth, { wallet: tx.auth.wallet - product.price });
  const order = await tx.db.orders.insert({
    customer: user.id, product: product.id, paid: product.price,
  });
  return { order: order.id, balance: user.wallet };
});
