import { action, refuse } from "galley";

export default action("publish", (tx, { letter: id }) => {
  const letter = tx.db.letters.get(id);
  if (letter.published) throw refuse("published");
  tx.db.letters.update(letter, { published: tx.now });
});
