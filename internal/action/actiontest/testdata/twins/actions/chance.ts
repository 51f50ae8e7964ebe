import { action } from "galley";

export default action("chance", (tx) => {
  const first = tx.random();
  const box = tx.db.boxes.insert({ label: "lucky", open: true, tags: [] });
  return { first, second: tx.random(), now: tx.now, box: box.id };
});
