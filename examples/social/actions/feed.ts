import { action, cel } from "galley";

export default action("feed", (tx, { before, limit }) => {
  const people = tx.db.follows.list({ where: { follower: tx.auth.id } }).map((f) => f.followed);
  people.push(tx.auth.id);
  const posts = tx.db.posts.list({
    where: cel`author in ${people} && created < ${before ?? new Date(tx.now.getTime() + 1)}`,
    sort: "-created",
    limit,
  });
  return { posts: posts.map((p) => p.id) };
});
