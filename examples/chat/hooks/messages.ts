import { add, hook, max } from "galley";

export default hook("messages", {
  create(tx, message) {
    const { sent } = tx.db.rooms.update(message.room, { sent: add(1) });
    tx.db.messages.update(message.id, { number: sent });
    // Who writes has read what stands above.
    const author = tx.db.members.first({ room: message.room, user: message.author });
    if (author) tx.db.members.update(author.id, { seen: max(sent) });
  },
});
