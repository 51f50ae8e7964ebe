import { hook, cel, refuse, type Id, type Tx } from "galley";

function keepAnOwner(tx: Tx, board: Id<"boards">) {
  if (!tx.db.boards.first({ id: board })) return; // the whole board is being deleted
  if (tx.db.members.count({ board, role: "owner" }) === 0) throw refuse("last_owner");
}

export default hook("members", {
  update: (tx, member) => keepAnOwner(tx, member.board),

  // Who leaves a board leaves his cards to the others.
  delete(tx, { board, user }) {
    keepAnOwner(tx, board);
    const cards = tx.db.cards.list({ where: cel`assignee == ${user} && list.board == ${board}` });
    for (const card of cards) tx.db.cards.update(card, { assignee: null });
  },
});
