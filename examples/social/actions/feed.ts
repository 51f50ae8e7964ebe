import { action, cel } from "galley";

export default action("feed", (tx, { after, limit }) => {
  const people = tx.db.follows.list({ where: { follower: tx.auth.id } }).map((f) => f.followed);
  people.push(tx.auth.id);
  const last = after && tx.db.posts.get(after);
  const posts = tx.db.posts.list({
    where: last
      ? cel`author in ${people} && (created < ${last.created} || created == ${last.created} && id < ${last.id})`
      : cel`author in ${people}`,
    sort: "-created,-id",
    limit,
  });
  return { posts: posts.map((p) => p.id) };
});
