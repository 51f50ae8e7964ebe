import { action } from "galley";

export default action("peek", (tx, input) => {
  const thing = tx.db.things.get(input.thing);
  return { name: thing.name, extra: thing.extra };
});
