import { hook } from "galley";

export default hook("follows", {
  create(tx, follow) {
    tx.db.notifications.insert({ to: follow.followed, from: follow.follower, kind: "follow" });
  },
});
