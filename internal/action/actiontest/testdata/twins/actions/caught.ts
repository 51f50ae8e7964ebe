import { action } from "galley";

export default action("caught", (tx, input) => {
  let code = "none";
  try {
    tx.db.products.insert({ name: "free", price: 0 });
  } catch (e: any) {
    code = e.code;
  }
  tx.db.products.update(input.product, { stock: 3 });
  return { code };
});
