// What sells best, as the shop counts it for everybody once in a few minutes.
import * as api from "./api.js";
import { h, put } from "./dom.js";
import { count, literal, money, title } from "./text.js";
import { tile } from "./tile.js";

const shown = 5;

// best returns the place for the list. It stays empty while nothing was sold, and when it
// cannot be had: nobody came for it.
export function best() {
  const place = h("section", { class: "best", "aria-labelledby": "best-title", hidden: true });
  fill(place).catch(() => null);
  return place;
}

async function fill(place) {
  const top = (await api.get("/api/top_products")).items;
  if (top.length === 0) return;
  const { items } = await api.get("/api/products", {
    filter: `id in [${top.map((row) => literal(row.product)).join(", ")}]`,
    fields: "id,code,name,price",
    limit: top.length,
  });
  const products = new Map(items.map((product) => [product.id, product]));
  const rows = top.filter((row) => products.has(row.product)).slice(0, shown);
  put(
    place,
    h("h2", { id: "best-title" }, "What everybody is buying"),
    h(
      "ol",
      { class: "best-list" },
      rows.map(({ product, sold }) => entry(products.get(product), sold)),
    ),
  );
  place.hidden = rows.length === 0;
}

function entry(product, sold) {
  return h(
    "li",
    { "data-sold": sold },
    h(
      "a",
      { href: `#/?q=${encodeURIComponent(product.code)}` },
      tile(product),
      h(
        "span",
        {},
        h("b", {}, title(product.name)),
        h("span", { class: "muted" }, `${money(product.price)} · ${count(sold, "piece", "pieces")}`),
      ),
    ),
  );
}
