import { hook } from "galley";

export default hook("rooms", {
  create(tx, room) {
    if (tx.auth) tx.db.members.insert({ room: room.id, user: room.owner });
  },
});
