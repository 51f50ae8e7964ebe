import { action, type Id } from "galley";

export default action("missing", (tx, input) => {
  tx.db.boxes.insert({ label: "lost", open: true, tags: [] });
  tx.db.products.get(input.product as Id<"products">);
});
