import { hook } from "galley";

export default hook("posts", {
  async update(tx, post, before) {
    await tx.db.logs.insert({ text: `${before.likes} to ${post.likes}` });
  },
  async delete(tx, post) {
    await tx.db.logs.insert({ text: `${post.title} is gone` });
  },
});
