import { route } from "galley";

export default route("sitemap", (tx) => ({
  body: tx.db.articles.list({ sort: "slug", limit: 1000 }).map((a) => `/article/${a.slug}`).join("\n") + "\n",
}));
