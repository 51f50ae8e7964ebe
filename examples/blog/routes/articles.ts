import { route, cel, type Tx } from "galley";
import { article, articles, bySlug, comment } from "../lib";

/** What somebody likes, the last thousand. */
function favorites(tx: Tx, username: string) {
  const user = tx.db.users.first({ username });
  if (!user) return [];
  return tx.db.favorites.list({ where: { user: user.id }, sort: "-created", limit: 1000 }).map((f) => f.article);
}

export default route("articles", {
  "GET /api/articles"(tx, { query }) {
    const { tag = "", author: by = "", favorited } = query;
    const ids = favorited === undefined ? [] : favorites(tx, favorited);
    return articles(tx, query, cel`(${tag} == "" || ${tag} in tags) && (${by} == "" || author.username == ${by}) &&
      (${favorited === undefined} || id in ${ids})`);
  },
  "GET /api/articles/{slug}": (tx, { params }) => ({ body: { article: article(tx, bySlug(tx, params.slug!)) } }),
  "GET /api/articles/{slug}/comments"(tx, { params }) {
    const where = { article: bySlug(tx, params.slug!).id };
    const found = tx.db.comments.list({ where, sort: "number", limit: 500 });
    return { body: { comments: found.map((c) => comment(tx, c)) } };
  },
  "GET /api/tags"(tx) {
    const tags = tx.db.tags.list({ sort: "-created", limit: 1000 }).map((t) => t.name);
    return { body: { tags: [...new Set(tags)].slice(0, 50) } };
  },
});
