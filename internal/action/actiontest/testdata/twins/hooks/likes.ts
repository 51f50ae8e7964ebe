import { hook, refuse, add } from "galley";

export default hook("likes", {
  async create(tx, like) {
    const post = await tx.db.posts.update(like.post, { likes: add(1) });
    if (post.title === "closed") throw refuse("declined");
  },
  async delete(tx, like) {
    await tx.db.logs.insert({ text: "unliked by " + tx.db.users.get(like.user).name });
  },
});
