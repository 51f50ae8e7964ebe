import { hook } from "galley";

export default hook("members", {
  // What was said before somebody came in is not news to him.
  create(tx, member) {
    const { sent } = tx.db.rooms.get(member.room);
    if (member.seen === 0 && sent > 0) tx.db.members.update(member.id, { seen: sent });
  },
});
