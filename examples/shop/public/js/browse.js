// The shelves: products with search, sorting and more of them on demand.
import * as api from "./api.js";
import { best } from "./best.js";
import * as cart from "./cart.js";
import { busy, h, icon, put, say } from "./dom.js";
import { panel } from "./problem.js";
import * as session from "./session.js";
import { count, literal, money, title } from "./text.js";
import { tile } from "./tile.js";

const page = 24;
const fewLeft = 12;
const wordMax = 6;
const fields = "id,code,name,price,stock";

const sorts = [
  ["name", "Name"],
  ["price,name", "Price, low to high"],
  ["-price,name", "Price, high to low"],
  ["stock,name", "Nearly gone"],
];
const aisles = [
  "Christmas",
  "Heart",
  "T-light",
  "Retrospot",
  "Lunch box",
  "Mug",
  "Vintage",
  "Garden",
];

// link returns the address of a search.
export function link({ q = "", sort = "", stock = false }) {
  const query = new URLSearchParams();
  if (q) query.set("q", q);
  if (sort && sort !== sorts[0][0]) query.set("sort", sort);
  if (stock) query.set("stock", "1");
  return query.size ? `#/?${query}` : "#/";
}

// filter writes the search as a condition on products: every word must be in the name, or the
// whole text is the stock code.
export function filter({ q, stock }) {
  const conditions = [];
  const low = q.replace(/[A-Z]/g, (c) => c.toLowerCase());
  const words = low.split(/\s+/).filter(Boolean).slice(0, wordMax);
  if (words.length > 0) {
    const named = words.map((w) => `name.lowerAscii().contains(${literal(w)})`).join(" && ");
    conditions.push(`(${named} || code.lowerAscii() == ${literal(low.trim())})`);
  }
  if (stock) conditions.push("stock > 0");
  return conditions.join(" && ");
}

// show fills the page with what the query asks for.
export function show(main, query) {
  const wanted = {
    q: (query.get("q") ?? "").trim(),
    sort: sorts.some(([key]) => key === query.get("sort")) ? query.get("sort") : sorts[0][0],
    stock: query.get("stock") === "1",
  };
  const heading = h(
    "h1",
    { class: wanted.q ? "" : "hidden" },
    wanted.q ? `“${wanted.q}”` : "All products",
  );
  const found = h("p", { class: "found", role: "status" });
  const grid = h("ul", { class: "grid", "aria-label": "Products" });
  const after = h("div", { class: "after" });
  put(
    main,
    wanted.q || wanted.stock ? "" : [welcome(), best()],
    aisleRow(wanted),
    h("div", { class: "shelf-head" }, h("div", {}, heading, found), controls(wanted)),
    grid,
    after,
  );
  return more({ wanted, grid, after, found, seen: 0, cursor: undefined, total: undefined });
}

function welcome() {
  const someone = session.me();
  return h(
    "section",
    { class: "hero", "aria-labelledby": "hero-title" },
    h(
      "div",
      {},
      h("h2", { id: "hero-title" }, "Small gifts, honestly priced."),
      h(
        "p",
        {},
        "Two thousand real things from a British gift shop, and a wallet that nobody can cheat.",
      ),
      h(
        "p",
        { class: "hero-hint" },
        someone
          ? [
              "Hello ",
              h("b", {}, someone.name),
              ". Your wallet holds ",
              h("b", {}, money(someone.wallet)),
              ".",
            ]
          : [
              "New here? Sign up, and the voucher ",
              h("code", {}, "WELCOME50"),
              " puts £50 into your wallet.",
            ],
      ),
    ),
    h(
      "div",
      { class: "hero-tiles", "aria-hidden": "true" },
      ["RED HEART", "MINT TEAPOT", "SKY BIRD", "GOLD CAKE"].map((name) =>
        tile({ code: name, name }),
      ),
    ),
  );
}

function aisleRow(wanted) {
  return h(
    "nav",
    { class: "aisles", "aria-label": "Aisles" },
    [["Everything", ""], ...aisles.map((name) => [name, name.toLowerCase()])].map(([name, q]) =>
      h(
        "a",
        {
          class: "chip",
          href: link({ ...wanted, q }),
          "aria-current": q === wanted.q.toLowerCase() ? "true" : null,
        },
        name,
      ),
    ),
  );
}

function controls(wanted) {
  const go = (change) => {
    location.hash = link({ ...wanted, ...change });
  };
  return h(
    "div",
    { class: "controls" },
    h(
      "label",
      { class: "check" },
      h("input", {
        type: "checkbox",
        id: "stock",
        checked: wanted.stock,
        onchange: (e) => go({ stock: e.target.checked }),
      }),
      "In stock",
    ),
    h("label", { class: "hidden", for: "sort" }, "Sort by"),
    h(
      "select",
      { id: "sort", onchange: (e) => go({ sort: e.target.value }) },
      sorts.map(([key, name]) => h("option", { value: key, selected: key === wanted.sort }, name)),
    ),
  );
}

// more adds the next page to the grid.
async function more(view) {
  const { wanted, grid, after, found } = view;
  const first = view.seen === 0;
  const ghosts = first
    ? Array.from({ length: 8 }, () => h("li", { class: "card ghost" }, h("div"), h("p"), h("p")))
    : [];
  grid.append(...ghosts);
  grid.setAttribute("aria-busy", "true");
  if (first) found.textContent = "Looking …";
  try {
    const list = await api.get("/api/products", {
      filter: filter(wanted),
      sort: wanted.sort,
      limit: page,
      cursor: view.cursor,
      fields,
      total: first ? "true" : undefined,
    });
    for (const g of ghosts) g.remove();
    if (first) view.total = list.total;
    const cards = list.items.map(card);
    grid.append(...cards);
    if (!first) cards[0]?.querySelector("button")?.focus({ preventScroll: true });
    view.seen += list.items.length;
    view.cursor = list.next;
    found.textContent =
      view.total === undefined
        ? count(view.seen, "product", "products")
        : count(view.total, "product", "products");
    put(after, view.seen === 0 ? nothing(wanted) : list.next ? moreButton(view) : end(view));
  } catch (problem) {
    for (const g of ghosts) g.remove();
    found.textContent = "";
    put(
      after,
      panel(problem),
      h(
        "button",
        {
          type: "button",
          class: "button quiet",
          onclick: () => more(view),
        },
        "Try again",
      ),
    );
  } finally {
    grid.removeAttribute("aria-busy");
  }
}

function moreButton(view) {
  const button = h(
    "button",
    {
      type: "button",
      class: "button quiet",
      id: "more",
      onclick: () => busy(button, "Fetching …", () => more(view)),
    },
    "Show more",
  );
  const of = view.total === undefined ? "" : ` of ${view.total.toLocaleString("en-GB")}`;
  return h(
    "div",
    { class: "more" },
    h("p", {}, `You have seen ${view.seen.toLocaleString("en-GB")}${of}`),
    button,
  );
}

const end = (view) => (view.seen > page ? h("p", { class: "muted" }, "That is everything.") : "");

function nothing(wanted) {
  return h(
    "div",
    { class: "empty" },
    tile({ code: "nothing", name: "BIRD" }),
    h("h2", {}, "Nothing on the shelves for that"),
    h("p", {}, "Try fewer letters, or another word: the names are short and plain."),
    h("a", { class: "button", href: link({ sort: wanted.sort }) }, "Show everything"),
  );
}

function card(product) {
  const name = title(product.name);
  const buy = h("div", { class: "buy" });
  drawBuy(buy, product, name);
  return h(
    "li",
    {
      class: product.stock < 1 ? "card gone" : "card",
      "data-product": product.id,
      "data-code": product.code,
      oncart: () => drawBuy(buy, product, name),
    },
    h("div", { class: "picture" }, tile(product), badge(product)),
    h("h3", {}, name),
    h("p", { class: "code" }, h("span", { class: "hidden" }, "Stock code "), product.code),
    h("div", { class: "row" }, h("p", { class: "price" }, money(product.price)), buy),
  );
}

function badge({ stock }) {
  if (stock < 1) return h("span", { class: "badge out" }, "Sold out");
  if (stock === 1) return h("span", { class: "badge last" }, "Last one");
  return stock <= fewLeft ? h("span", { class: "badge" }, `Only ${stock} left`) : null;
}

// drawBuy shows a button to add, or how many are in the cart already.
function drawBuy(buy, product, name) {
  const change = (n, focus) => {
    if (!cart.set(product, n))
      return say(`The cart is full: an order holds ${cart.lineMax} products.`);
    say(
      n > 0
        ? `${name}: ${count(n, "piece", "pieces")} in the cart`
        : `${name} is no longer in the cart`,
    );
    drawBuy(buy, product, name);
    (buy.querySelector(focus) ?? buy.querySelector("button")).focus();
  };
  const n = cart.quantity(product.id);
  put(
    buy,
    n === 0
      ? [
          h(
            "button",
            {
              type: "button",
              class: "add",
              disabled: product.stock < 1,
              "aria-label": `Add ${name} to the cart`,
              onclick: () => change(1, ".plus"),
            },
            icon("M10 4v12M4 10h12"),
          ),
        ]
      : stepper(name, n, (to) => change(to, to > n ? ".plus" : ".minus")),
  );
}

function stepper(name, n, change) {
  return [
    h(
      "div",
      { class: "stepper", role: "group", "aria-label": `${name}: in the cart` },
      h(
        "button",
        { type: "button", class: "minus", "aria-label": "One less", onclick: () => change(n - 1) },
        icon("M4 10h12"),
      ),
      h("span", {}, String(n)),
      h(
        "button",
        {
          type: "button",
          class: "plus",
          "aria-label": "One more",
          disabled: n >= cart.pieceMax,
          onclick: () => change(n + 1),
        },
        icon("M10 4v12M4 10h12"),
      ),
    ),
  ];
}

// redraw shows on every card what is in the cart now.
export function redraw(main) {
  for (const item of main.querySelectorAll(".card[data-product]")) {
    const shown = Number(item.querySelector(".stepper span")?.textContent ?? 0);
    if (shown !== cart.quantity(item.dataset.product)) item.dispatchEvent(new CustomEvent("cart"));
  }
}
