import { refuse, type Tx, type User, type Article, type Comment } from "galley";

export const profile = (tx: Tx, user: User) => ({
  username: user.username,
  bio: user.bio,
  image: user.image,
  following: !!tx.auth && tx.db.follows.count({ user: tx.auth.id, author: user.id }) > 0,
});

export const account = (tx: Tx, user: User) => ({
  user: {
    email: user.email,
    username: user.username,
    bio: user.bio,
    image: user.image,
    token: tx.token.sign("TOKEN_KEY", { sub: user.id }, { expires: "60d" }),
  },
});

export const article = (tx: Tx, a: Article, whole = true) => ({
  slug: a.slug,
  title: a.title,
  description: a.description,
  ...(whole && { body: a.body }),
  tagList: a.tags,
  createdAt: a.created,
  updatedAt: a.updated,
  favorited: !!tx.auth && tx.db.favorites.count({ article: a.id, user: tx.auth.id }) > 0,
  favoritesCount: tx.db.favorites.count({ article: a.id }),
  author: profile(tx, tx.db.users.get(a.author)),
});

export const comment = (tx: Tx, c: Comment) => ({
  id: c.id,
  createdAt: c.created,
  updatedAt: c.updated,
  body: c.body,
  author: profile(tx, tx.db.users.get(c.author)),
});

export const bySlug = (tx: Tx, slug: string) => {
  const found = tx.db.articles.first({ slug });
  if (!found) throw refuse("not_found");
  return found;
};

export const byName = (tx: Tx, username: string) => {
  const found = tx.db.users.first({ username });
  if (!found) throw refuse("not_found");
  return found;
};

export const slugOf = (tx: Tx, title: string) => {
  const slug = title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "untitled";
  return tx.db.articles.count({ slug }) === 0 ? slug : slug + "-" + Math.floor(tx.random() * 1e9).toString(36);
};

export const page = (query: { readonly [name: string]: string | undefined }) => ({
  limit: Math.min(Number(query.limit) || 20, 100),
  offset: Number(query.offset) || 0,
});
