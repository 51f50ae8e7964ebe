import { route, refuse, cel, type Article, type Tx } from "galley";
import { article, bySlug, comment, page, slugOf } from "../lib";

const mine = (tx: Tx, slug: string) => {
  const found = bySlug(tx, slug);
  if (found.author !== tx.auth!.id) throw refuse("forbidden");
  return found;
};

const tag = (tx: Tx, a: Article, names: readonly string[]) => {
  for (const t of tx.db.tags.list({ where: { article: a.id }, limit: 100 })) tx.db.tags.delete(t);
  for (const name of names) tx.db.tags.insert({ name, article: a.id });
};

export default route("writing", {
  "GET /api/articles/feed"(tx, { query }) {
    const { limit, offset } = page(query);
    const authors = tx.db.follows.list({ where: { user: tx.auth.id }, limit: 100 }).map((f) => f.author);
    const where = cel`author in ${authors}`;
    const found = authors.length === 0 ? []
      : tx.db.articles.list({ where, sort: "-created", limit: offset + limit }).slice(offset);
    const articlesCount = authors.length === 0 ? 0 : tx.db.articles.count(where);
    return { body: { articles: found.map((a) => article(tx, a, false)), articlesCount } };
  },
  "POST /api/articles"(tx, { json }) {
    const { title, description, body, tagList = [] } = json?.article ?? {};
    for (const [name, value] of Object.entries({ title, description, body })) {
      if (typeof value !== "string" || value === "") throw refuse("invalid_input", { [name]: "can't be blank" });
    }
    const made = tx.db.articles.insert({
      title, description, body, tags: tagList, slug: slugOf(tx, title), author: tx.auth.id,
    });
    tag(tx, made, tagList);
    return { status: 201, body: { article: article(tx, made) } };
  },
  "PUT /api/articles/{slug}"(tx, { params, json }) {
    const old = mine(tx, params.slug), { title, description, body, tagList } = json.article;
    const slug = title === undefined || title === old.title ? undefined : slugOf(tx, title);
    const next = tx.db.articles.update(old, { title, description, body, slug, tags: tagList });
    if (tagList !== undefined) tag(tx, next, tagList);
    return { body: { article: article(tx, next) } };
  },
  "DELETE /api/articles/{slug}": (tx, { params }) => tx.db.articles.delete(mine(tx, params.slug)),
  "POST /api/articles/{slug}/favorite"(tx, { params }) {
    const found = bySlug(tx, params.slug), pair = { article: found.id, user: tx.auth.id };
    if (!tx.db.favorites.first(pair)) tx.db.favorites.insert(pair);
    return { body: { article: article(tx, found) } };
  },
  "DELETE /api/articles/{slug}/favorite"(tx, { params }) {
    const found = bySlug(tx, params.slug), like = tx.db.favorites.first({ article: found.id, user: tx.auth.id });
    if (like) tx.db.favorites.delete(like);
    return { body: { article: article(tx, found) } };
  },
  "POST /api/articles/{slug}/comments"(tx, { params, json }) {
    const made = tx.db.comments.insert({
      article: bySlug(tx, params.slug).id, author: tx.auth.id, body: json.comment.body,
    });
    return { body: { comment: comment(tx, made) } };
  },
  "DELETE /api/articles/{slug}/comments/{id}"(tx, { params }) {
    const found = tx.db.comments.first({ id: params.id as never, article: bySlug(tx, params.slug).id });
    if (!found) throw refuse("not_found");
    if (found.author !== tx.auth.id) throw refuse("forbidden");
    tx.db.comments.delete(found);
  },
});
