// The page of one's own orders, newest first, each with its lines on demand.
import { openAccount } from "./account.js";
import * as api from "./api.js";
import { busy, h, put } from "./dom.js";
import { panel } from "./problem.js";
import * as session from "./session.js";
import { count, day, money, title } from "./text.js";
import { tile } from "./tile.js";

const page = 20;

// show fills the page; open names the order whose lines are shown at once.
export async function show(main, query) {
  const list = h("ul", { class: "orders", "aria-label": "Your orders" });
  const after = h("div", { class: "after" });
  const place = h("div", { class: "narrow" }, h("h1", {}, "Your orders"), list, after);
  put(main, place);
  if (!session.me()) {
    put(
      after,
      h(
        "div",
        { class: "empty" },
        h("p", {}, "Sign in to see what you bought."),
        h(
          "button",
          { type: "button", class: "button", onclick: () => openAccount("sign-in") },
          "Sign in",
        ),
      ),
    );
    return;
  }
  await more({ list, after, open: query.get("open"), cursor: undefined });
}

async function more(view) {
  const { list, after } = view;
  list.setAttribute("aria-busy", "true");
  try {
    const orders = await api.get("/api/orders", {
      sort: "-created",
      limit: page,
      cursor: view.cursor,
    });
    list.append(...orders.items.map((order) => entry(order, order.id === view.open)));
    view.cursor = orders.next;
    const button = h(
      "button",
      {
        type: "button",
        class: "button quiet",
        onclick: () => busy(button, "Fetching …", () => more(view)),
      },
      "Show older orders",
    );
    put(after, list.children.length === 0 ? none() : orders.next ? button : "");
  } catch (problem) {
    put(
      after,
      panel(problem),
      h(
        "button",
        { type: "button", class: "button quiet", onclick: () => more(view) },
        "Try again",
      ),
    );
  } finally {
    list.removeAttribute("aria-busy");
  }
}

function none() {
  return h(
    "div",
    { class: "empty" },
    tile({ code: "orders", name: "ENVELOPE" }),
    h("h2", {}, "No orders yet"),
    h("p", {}, "What you buy is listed here with the price of the day."),
    h("a", { class: "button", href: "#/" }, "Start looking"),
  );
}

function entry(order, open) {
  const items = h("div", { class: "order-items" }, h("p", { class: "muted" }, "Fetching …"));
  let fetched = false;
  const details = h(
    "details",
    {
      class: "order",
      open,
      "data-order": order.id,
      ontoggle: () => {
        if (!details.open || fetched) return;
        fetched = true;
        fill(items, order).catch((problem) => {
          fetched = false;
          put(items, panel(problem));
        });
      },
    },
    h(
      "summary",
      {},
      h("span", { class: "order-day" }, day(order.created)),
      h("span", { class: `status ${order.status}` }, order.status),
      h("b", { class: "order-total" }, money(order.total)),
    ),
    items,
  );
  return h("li", {}, details);
}

// fill shows the lines of an order. A product that is no longer sold has no name here: what
// one may not read is not expanded.
async function fill(place, order) {
  const rows = [];
  let cursor;
  do {
    const list = await api.get("/api/order_items", {
      order: order.id,
      expand: "product",
      sort: "created",
      limit: 100,
      cursor,
    });
    rows.push(...list.items);
    cursor = list.next;
  } while (cursor);
  const sum = rows.reduce((s, row) => s + row.price * row.quantity, 0);
  put(
    place,
    h(
      "ul",
      { class: "lines" },
      rows.map((row) => {
        const product = row.expand?.product ?? { code: row.product, name: "NO LONGER SOLD" };
        return h(
          "li",
          { class: "line" },
          tile(product),
          h(
            "div",
            { class: "line-text" },
            h("b", {}, title(product.name)),
            h("span", { class: "muted" }, `${row.quantity} × ${money(row.price)}`),
          ),
          h("div", { class: "line-sum" }, h("b", {}, money(row.price * row.quantity))),
        );
      }),
    ),
    h(
      "dl",
      { class: "order-sum" },
      h("dt", {}, count(rows.length, "line", "lines")),
      h("dd", {}, money(sum)),
      sum > order.total ? [h("dt", {}, "Discount"), h("dd", {}, money(order.total - sum))] : null,
      h("dt", {}, h("b", {}, "Paid")),
      h("dd", {}, h("b", {}, money(order.total))),
    ),
    h("p", { class: "code" }, `Order ${order.id}`),
  );
}
