import { action } from "galley";

export default action("unlike", async (tx, { title }) => {
  await tx.db.posts.delete(tx.db.posts.first({ title })!);
});
