import { action, add, append, max, min, remove } from "galley";

export default action("operators", (tx, { box }) => {
  tx.db.boxes.update(box, { count: add(5), tags: append("new") });
  tx.db.boxes.update(box, { count: max(7), tags: remove("old") });
  const last = tx.db.boxes.update(box, { count: min(100) });
  return { count: last.count, tags: last.tags };
});
