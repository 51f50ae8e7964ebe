import { hook, cel, refuse, type Card, type Tx } from "galley";
import { around, spread } from "../lib/space";

// A card that came too near to another makes room: all cards of its list move apart, in the same
// commit, so that nobody ever sees some of them moved.
function makeRoom(tx: Tx, card: Card) {
  const [from, to] = around(card);
  const crowd = cel`list == ${card.list} && position >= ${from} && position <= ${to}`;
  if (tx.db.cards.count(crowd) < 2) return;
  for (const [one, position] of spread(tx.db.cards.list({ where: { list: card.list } }))) {
    tx.db.cards.update(one.id, { position });
  }
}

// A page shows all of a board, and a list moves apart in one commit: so a board has an end.
const most = 300;

function fits(tx: Tx, card: Card) {
  const { board } = tx.db.lists.get(card.list);
  if (tx.db.cards.count(cel`list.board == ${board}`) > most) throw refuse("board_full");
}

export default hook("cards", {
  create(tx, card) {
    fits(tx, card);
    makeRoom(tx, card);
  },
  update(tx, card, before) {
    if (card.list !== before.list) fits(tx, card);
    if (card.list !== before.list || card.position !== before.position) makeRoom(tx, card);
  },
});
