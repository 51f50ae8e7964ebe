import { action } from "galley";

export default action("stale", (tx, input) => {
  const product = tx.db.products.get(input.product);
  tx.db.products.update(product, { stock: 1 });
  try {
    tx.db.products.update(product, { stock: 2 });
  } catch (e: any) {
    if (!input.catch) throw e;
    return { code: e.code };
  }
  return { code: "none" };
});
