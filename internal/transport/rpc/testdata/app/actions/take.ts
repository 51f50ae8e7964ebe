import { action, refuse } from "galley";

export default action("take", (tx, input) => {
  const thing = tx.db.things.get(input.thing);
  if (thing.name === "bad") throw refuse("too_bad", { name: thing.name, many: input.many });
  const next = tx.db.things.update(thing, { stock: thing.stock - input.many });
  return { left: next.stock, when: tx.now, words: (input.lines ?? []).map((l) => l.name) };
});
