import { hook } from "galley";

export default hook("boards", {
  create(tx, board) {
    if (!tx.auth) return; // an import brings its own members
    tx.db.members.insert({ board: board.id, user: tx.auth.id, role: "owner" });
  },
});
