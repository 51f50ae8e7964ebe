import { action } from "galley";

export default action("count", (tx, { note }) => {
  const { count } = tx.db.notes.get(note);
  return { count: tx.db.notes.update(note, { count: count + 1 }).count };
});
