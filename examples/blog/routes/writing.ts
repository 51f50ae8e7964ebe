import { route, refuse, cel, type Article, type Tx } from "galley";
import { article, articles, bySlug, comment, tagsOf, texts } from "../lib";

const fields = ["title", "description", "body"] as const;
function slugOf(tx: Tx, title: string) {
  const slug = title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "untitled";
  return tx.db.articles.count({ slug }) === 0 ? slug : slug + "-" + Math.floor(tx.random() * 1e9).toString(36);
}

function tag(tx: Tx, a: Article) {
  for (const t of tx.db.tags.list({ where: { article: a.id } })) tx.db.tags.delete(t);
  for (const name of a.tags) tx.db.tags.insert({ name, article: a.id });
}

export default route("writing", {
  "GET /api/articles/feed"(tx, { query }) {
    const authors = tx.db.follows.list({ where: { user: tx.auth.id }, limit: 1000 }).map((f) => f.author);
    return articles(tx, query, cel`author in ${authors}`);
  },
  "POST /api/articles"(tx, { json }) {
    const sent = texts(json?.article, fields), tags = tagsOf(json.article.tagList ?? []);
    const made = tx.db.articles.insert({ ...sent, tags, slug: slugOf(tx, sent.title), author: tx.auth.id });
    tag(tx, made);
    return { status: 201, body: { article: article(tx, made) } };
  },
  "PUT /api/articles/{slug}"(tx, { params, json }) {
    const old = bySlug(tx, params.slug!, true);
    const sent = texts(json?.article, fields, true), { tagList } = json.article;
    const slug = sent.title === undefined || sent.title === old.title ? undefined : slugOf(tx, sent.title);
    const tags = tagList === undefined ? undefined : tagsOf(tagList);
    const next = tx.db.articles.update(old, { ...sent, slug, tags });
    if (tags) tag(tx, next);
    return { body: { article: article(tx, next) } };
  },
  "DELETE /api/articles/{slug}": (tx, { params }) => tx.db.articles.delete(bySlug(tx, params.slug!, true)),
  "POST /api/articles/{slug}/favorite"(tx, { params }) {
    const found = bySlug(tx, params.slug!), pair = { article: found.id, user: tx.auth.id };
    if (!tx.db.favorites.first(pair)) tx.db.favorites.insert(pair);
    return { body: { article: article(tx, found) } };
  },
  "DELETE /api/articles/{slug}/favorite"(tx, { params }) {
    const found = bySlug(tx, params.slug!), like = tx.db.favorites.first({ article: found.id, user: tx.auth.id });
    if (like) tx.db.favorites.delete(like);
    return { body: { article: article(tx, found) } };
  },
  "POST /api/articles/{slug}/comments"(tx, { params, json }) {
    const on = bySlug(tx, params.slug!), { body } = texts(json?.comment, ["body"]);
    const number = (tx.db.comments.first(undefined, { sort: "-number" })?.number ?? 0) + 1;
    const made = tx.db.comments.insert({ article: on.id, author: tx.auth.id, body, number });
    return { status: 201, body: { comment: comment(tx, made) } };
  },
  "DELETE /api/articles/{slug}/comments/{id}"(tx, { params }) {
    const on = bySlug(tx, params.slug!);
    const found = tx.db.comments.first({ article: on.id, number: Number(params.id) || 0 });
    if (!found) throw refuse("not_found", { comment: "not found" });
    if (found.author !== tx.auth.id) throw refuse("forbidden", { comment: "forbidden" });
    tx.db.comments.delete(found);
  },
});
