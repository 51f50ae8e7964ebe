import { route, cel } from "galley";
import { article, bySlug, byName, comment, page } from "../lib";

export default route("articles", {
  "GET /api/articles"(tx, { query }) {
    const { limit, offset } = page(query);
    let ids: string[] | null = null;
    const among = (found: string[]) => { ids = ids ? ids.filter((id) => found.includes(id)) : found; };
    if (query.tag) among(tx.db.tags.list({ where: { name: query.tag }, limit: 100 }).map((t) => t.article));
    if (query.favorited) {
      const user = byName(tx, query.favorited);
      among(tx.db.favorites.list({ where: { user: user.id }, limit: 100 }).map((f) => f.article));
    }
    if (query.author) {
      const author = byName(tx, query.author);
      among(tx.db.articles.list({ where: { author: author.id }, sort: "-created", limit: 100 }).map((a) => a.id));
    }
    const where = ids === null ? undefined : cel`id in ${ids}`;
    const found = tx.db.articles.list({ where, sort: "-created", limit: offset + limit }).slice(offset);
    return {
      body: { articles: found.map((a) => article(tx, a, false)), articlesCount: tx.db.articles.count(where) },
    };
  },
  "GET /api/articles/{slug}": (tx, { params }) => ({ body: { article: article(tx, bySlug(tx, params.slug)) } }),
  "GET /api/articles/{slug}/comments": (tx, { params }) => ({
    body: {
      comments: tx.db.comments.list({ where: { article: bySlug(tx, params.slug).id }, sort: "-created", limit: 100 })
        .map((c) => comment(tx, c)),
    },
  }),
  "GET /api/tags": (tx) => ({
    body: { tags: [...new Set(tx.db.tags.list({ sort: "-created", limit: 1000 }).map((t) => t.name))].slice(0, 20) },
  }),
});
