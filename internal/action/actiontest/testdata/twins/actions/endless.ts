import { action } from "galley";

export default action("endless", (tx) => {
  tx.db.boxes.insert({ label: "lost", open: true, tags: [] });
  while (true) { /* until somebody stops it */ }
});
