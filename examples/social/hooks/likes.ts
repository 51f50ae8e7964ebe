import { add, hook } from "galley";

export default hook("likes", {
  create(tx, like) {
    const post = tx.db.posts.update(like.post, { likes: add(1) });
    if (post.author === like.user) return;
    tx.db.notifications.insert({ to: post.author, from: like.user, kind: "like", post: post.id });
  },

  // What was liked by mistake is not told: the notification goes with the like, unless it was seen.
  delete(tx, like) {
    const post = tx.db.posts.first({ id: like.post });
    if (!post) return; // the whole post is being deleted
    tx.db.posts.update(post.id, { likes: add(-1) });
    const told = tx.db.notifications.first({ from: like.user, kind: "like", post: post.id, seen: false });
    if (told) tx.db.notifications.delete(told);
  },
});
