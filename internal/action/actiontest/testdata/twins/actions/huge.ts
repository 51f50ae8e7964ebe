import { action } from "galley";

export default action("huge", (tx) => {
  tx.db.boxes.insert({ label: "x".repeat(1000000), open: true, tags: [] });
});
