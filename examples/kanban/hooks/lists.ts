import { hook, cel, refuse, type List, type Tx } from "galley";
import { around, spread } from "../lib/space";

function makeRoom(tx: Tx, list: List) {
  const [from, to] = around(list);
  const crowd = cel`board == ${list.board} && position >= ${from} && position <= ${to}`;
  if (tx.db.lists.count(crowd) < 2) return;
  for (const [one, position] of spread(tx.db.lists.list({ where: { board: list.board } }))) {
    tx.db.lists.update(one.id, { position });
  }
}

const most = 100;

export default hook("lists", {
  create(tx, list) {
    if (tx.db.lists.count({ board: list.board }) > most) throw refuse("board_full");
    makeRoom(tx, list);
  },
  update(tx, list, before) {
    if (list.position !== before.position) makeRoom(tx, list);
  },
});
