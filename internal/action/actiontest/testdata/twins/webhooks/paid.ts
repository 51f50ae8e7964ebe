import { webhook } from "galley";

export default webhook("paid", (tx, event) => {
  tx.db.logs.insert({ text: `${event.id} ${event.body.n} ${event.headers["x-a"]} ${event.raw.length}` });
});
