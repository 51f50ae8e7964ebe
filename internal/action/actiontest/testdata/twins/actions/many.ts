import { action } from "galley";

export default action("many", (tx) => {
  for (;;) tx.db.boxes.count();
});
