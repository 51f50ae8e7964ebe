import { add, hook } from "galley";

export default hook("posts", {
  create(tx, post) {
    if (!post.reply_to) return;
    const { author } = tx.db.posts.update(post.reply_to, { replies: add(1) });
    if (author === post.author) return;
    tx.db.notifications.insert({ to: author, from: post.author, kind: "reply", post: post.id });
  },

  delete(tx, post) {
    const parent = post.reply_to && tx.db.posts.first({ id: post.reply_to });
    if (parent) tx.db.posts.update(parent.id, { replies: add(-1) });
  },
});
