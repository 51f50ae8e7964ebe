import { action } from "galley";

export default action("breaks", (tx) => {
  tx.db.boxes.insert({ label: "lost", open: true, tags: [] });
  const nothing: any = null;
  nothing.open();
});
