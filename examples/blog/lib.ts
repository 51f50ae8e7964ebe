import { refuse, type Article, type Comment, type Filter, type Tx, type User } from "galley";

/** The texts of a body: all must be there, or with some those that are must not be blank. */
export function texts<N extends string>(sent: any, names: readonly N[], some = false) {
  const found: { [name in N]?: string } = {};
  for (const name of names) {
    const text: unknown = sent?.[name];
    if (text === undefined && some) continue;
    if (typeof text !== "string" || text.trim() === "") throw refuse("invalid_input", { [name]: "can't be blank" });
    found[name] = text;
  }
  return found as { [name in N]: string };
}

/** What is kept of a password. */
export function hashed(tx: Tx, password: string) {
  if (password.length < 8) throw refuse("invalid_input", { password: "is too short" });
  return tx.password.hash(password);
}

/** Refuses names and addresses that somebody else has. */
export function free(tx: Tx, sent: { username?: string; email?: string }) {
  for (const name of ["username", "email"] as const) {
    const other = sent[name] && tx.db.users.first({ [name]: sent[name] });
    if (other && other.id !== tx.auth?.id) throw refuse("taken", { [name]: "has already been taken" });
  }
}

/** The tags of a body, each once. */
export function tagsOf(sent: unknown): string[] {
  if (!Array.isArray(sent) || sent.some((t) => typeof t !== "string")) {
    throw refuse("invalid_input", { tagList: "must be a list of texts" });
  }
  return [...new Set<string>(sent)];
}

export const profile = (tx: Tx, user: User) => ({
  username: user.username,
  bio: user.bio,
  image: user.image,
  following: !!tx.auth && tx.db.follows.count({ user: tx.auth.id, author: user.id }) > 0,
});

export const account = (tx: Tx, { id, email, username, bio, image }: User) =>
  ({ user: { email, username, bio, image, token: tx.token.sign("TOKEN_KEY", { sub: id }, { expires: "60d" }) } });

export const article = (tx: Tx, a: Article, whole = true) => ({
  slug: a.slug, title: a.title, description: a.description, ...(whole && { body: a.body }),
  tagList: a.tags,
  createdAt: a.created,
  updatedAt: a.updated,
  favorited: !!tx.auth && tx.db.favorites.count({ article: a.id, user: tx.auth.id }) > 0,
  favoritesCount: tx.db.favorites.count({ article: a.id }),
  author: profile(tx, tx.db.users.get(a.author)),
});

export const comment = (tx: Tx, c: Comment) => ({
  id: c.number,
  createdAt: c.created,
  updatedAt: c.updated,
  body: c.body,
  author: profile(tx, tx.db.users.get(c.author)),
});

/** A page of articles, the newest first. */
export function articles(tx: Tx, query: { readonly [name: string]: string | undefined }, where: Filter) {
  const whole = (text: string | undefined, usual: number, most: number) =>
    Math.min(Math.max(Math.floor(Number(text ?? usual)) || 0, 0), most);
  const offset = whole(query.offset, 0, 900), limit = whole(query.limit, 20, 100);
  const found = tx.db.articles.list({ where, sort: "-created,-id", limit: offset + limit }).slice(offset);
  return { body: { articles: found.map((a) => article(tx, a, false)), articlesCount: tx.db.articles.count(where) } };
}

export function bySlug(tx: Tx, slug: string, own = false): Article {
  const found = tx.db.articles.first({ slug });
  if (!found) throw refuse("not_found", { article: "not found" });
  if (own && found.author !== tx.auth!.id) throw refuse("forbidden", { article: "forbidden" });
  return found;
}

export function byName(tx: Tx, username: string): User {
  const found = tx.db.users.first({ username });
  if (!found) throw refuse("not_found", { profile: "not found" });
  return found;
}
