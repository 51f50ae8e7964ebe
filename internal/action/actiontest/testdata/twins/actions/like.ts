import { action } from "galley";

export default action("like", async (tx, { title, amount }) => {
  const post = tx.db.posts.first({ title }) ?? tx.db.posts.insert({ title });
  await tx.db.likes.insert({ post: post.id, user: tx.auth.id });
  const { id } = await tx.jobs.credit({ user: tx.auth.id, amount });
  await tx.email.thanks({ to: [tx.auth.id, "bo@example.com"], record: post.id, data: { n: 1 } });
  await tx.publish(`post/${post.id}`, { by: tx.auth.name, likes: 1 });
  return { likes: tx.db.posts.get(post.id).likes, job: id };
});
