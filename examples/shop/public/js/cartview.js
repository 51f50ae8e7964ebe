// The cart as a drawer, and the way from it to an order.
import { openAccount } from "./account.js";
import * as api from "./api.js";
import * as cart from "./cart.js";
import { busy, find, h, icon, put } from "./dom.js";
import { panel } from "./problem.js";
import * as session from "./session.js";
import { shipping } from "./shipping.js";
import { count, literal, money, title } from "./text.js";
import { tile } from "./tile.js";

// askMax is how many products are asked for at once: a filter has at most 2 KB.
const askMax = 40;
const fields = "id,code,name,price,stock";

const dialog = () => find("cart");

// trouble is the problem of the last try, until the cart changes or another try begins.
let trouble = null;
let code = "";

// openCart shows the drawer with fresh prices and stocks.
export async function openCart() {
  draw();
  dialog().showModal();
  await catchUp(freshen());
}

// catchUp marks the drawer as busy until all has ended. Nothing is lost when one fails: the
// shop decides, and what is shown is merely older.
async function catchUp(...work) {
  dialog().setAttribute("aria-busy", "true");
  await Promise.allSettled(work);
  dialog().removeAttribute("aria-busy");
}

// freshen asks for the products in the cart again: prices change, stocks fall, and what is no
// longer listed is sold out.
async function freshen() {
  const products = cart.all().map((line) => line.product);
  for (let i = 0; i < products.length; i += askMax) {
    const some = products.slice(i, i + askMax);
    const ids = some.map((product) => literal(product.id)).join(", ");
    const filter = `id in [${ids}]`;
    const { items } = await api.get("/api/products", { filter, fields, limit: askMax });
    const fresh = new Map(items.map((product) => [product.id, product]));
    for (const product of some) {
      const quantity = cart.quantity(product.id);
      if (quantity > 0) cart.set(fresh.get(product.id) ?? { ...product, stock: 0 }, quantity);
    }
  }
}

// changed redraws an open drawer, keeping the focus where it was.
export function changed() {
  if (!dialog().open) return;
  const id = document.activeElement?.id;
  draw();
  if (id) find(id)?.focus();
}

function draw() {
  const someone = session.me();
  const waiting = someone && cart.underWay(someone.id);
  put(
    dialog(),
    h(
      "header",
      { class: "drawer-head" },
      h("h2", { id: "cart-title" }, "Your cart"),
      h(
        "form",
        { method: "dialog" },
        h(
          "button",
          { class: "close", "aria-label": "Close the cart" },
          icon("M5 5l10 10M15 5 5 15"),
        ),
      ),
    ),
    waiting
      ? waitingNote(someone, waiting)
      : cart.all().length === 0
        ? emptyNote()
        : [h("ul", { class: "lines" }, cart.all().map(line)), summary(someone)],
  );
}

function emptyNote() {
  return h(
    "div",
    { class: "empty" },
    tile({ code: "empty", name: "BAG" }),
    h("h3", {}, "Nothing in here yet"),
    h("p", {}, "Whatever you add waits here, also when you close the page."),
    h("form", { method: "dialog" }, h("button", { class: "button" }, "Look around")),
  );
}

function line({ product, quantity }) {
  const name = title(product.name);
  const input = h("input", {
    id: `n-${product.id}`,
    type: "number",
    min: 1,
    max: cart.pieceMax,
    step: 1,
    value: quantity,
    inputmode: "numeric",
    "aria-label": `Pieces of ${name}`,
    onchange: () => {
      trouble = null;
      cart.set(product, Math.max(1, input.valueAsNumber || 1));
    },
  });
  const short = product.stock < quantity;
  return h(
    "li",
    { class: "line", "data-code": product.code },
    tile(product),
    h(
      "div",
      { class: "line-text" },
      h("b", {}, name),
      h("span", { class: "muted" }, `${money(product.price)} each`),
      short ? shortNote(product) : null,
    ),
    h(
      "div",
      { class: "line-sum" },
      h("b", {}, money(product.price * quantity)),
      h(
        "div",
        { class: "line-edit" },
        input,
        h(
          "button",
          {
            type: "button",
            class: "close",
            "aria-label": `Take ${name} out of the cart`,
            onclick: () => {
              trouble = null;
              cart.set(product, 0);
              find("cart-title")?.focus();
            },
          },
          icon("M5 6h10M8 6V4h4v2M6.5 6l.7 10h5.6l.7-10"),
        ),
      ),
    ),
  );
}

function shortNote(product) {
  return h(
    "span",
    { class: "short" },
    product.stock > 0 ? `Only ${product.stock} left. ` : "Sold out. ",
    h(
      "button",
      {
        type: "button",
        class: "link",
        onclick: () => {
          trouble = null;
          cart.set(product, product.stock);
        },
      },
      product.stock > 0 ? `Take ${product.stock}` : "Take it out",
    ),
  );
}

function summary(someone) {
  const low = someone && someone.wallet < cart.total();
  const input = h("input", {
    id: "discount",
    name: "code",
    maxlength: 16,
    autocapitalize: "characters",
    autocomplete: "off",
    spellcheck: "false",
    value: code,
    oninput: () => {
      code = input.value;
    },
  });
  const pay = h(
    "button",
    { class: "button wide", id: "pay" },
    someone ? `Pay ${money(cart.total())} from the wallet` : "Sign in to order",
  );
  return h(
    "form",
    {
      class: "summary",
      onsubmit: (e) => {
        e.preventDefault();
        if (!session.me()) return openAccount("sign-in");
        return send(pay, cart.begin(session.me().id, code.trim().toUpperCase()));
      },
    },
    trouble ? panel(trouble, productAt) : null,
    h(
      "div",
      { class: "field" },
      h(
        "label",
        { for: "discount" },
        "Discount code ",
        h("span", { class: "muted" }, "(if you have one)"),
      ),
      input,
    ),
    h(
      "dl",
      {},
      h("dt", {}, count(cart.pieces(), "piece", "pieces")),
      h("dd", {}, h("b", { id: "cart-total" }, money(cart.total()))),
      someone
        ? [h("dt", {}, "Your wallet"), h("dd", { class: low ? "low" : "" }, money(someone.wallet))]
        : null,
    ),
    low
      ? h(
          "p",
          { class: "hint" },
          "That is more than your wallet holds. ",
          h("a", { href: "#/wallet", onclick: () => dialog().close() }, "Top it up"),
          " or take something out.",
        )
      : null,
    someone ? shipping() : null,
    pay,
  );
}

// productAt names the product that a pointer such as #/items/2/quantity is about.
function productAt(pointer) {
  const index = /^#\/items\/(\d+)/.exec(pointer)?.[1];
  const line = cart.all()[index];
  return line ? title(line.product.name) : "";
}

function waitingNote(someone, order) {
  const again = h(
    "button",
    { type: "button", class: "button wide", id: "again", onclick: () => send(again, order) },
    "Ask again",
  );
  return h(
    "div",
    { class: "waiting" },
    trouble ? panel(trouble) : null,
    h("h3", {}, "This order has no answer yet"),
    h(
      "p",
      {},
      `Your order of ${count(order.body.items.length, "product", "products")} was sent, and the ` +
        "shop has not said yet what became of it. " +
        "Asking again is safe: it is the same order, and you pay once at most.",
    ),
    again,
  );
}

// send asks for the order and shows the answer. While it is not known what became of it, the
// order stays under way with its key.
async function send(button, order) {
  const someone = session.me();
  trouble = null;
  try {
    const { value, replayed } = await busy(button, "Placing your order …", () =>
      api.act("checkout", order.body, order.key),
    );
    cart.settle(someone.id);
    cart.clear();
    code = "";
    session.update({ wallet: value.balance });
    thanks(value, replayed);
    return;
  } catch (problem) {
    trouble = problem;
    if (!problem.open && problem.status !== 401) cart.settle(someone.id);
    if (problem.status === 401) await session.refresh().catch(() => null);
  }
  draw();
  dialog().querySelector(".problem")?.scrollIntoView({ block: "nearest" });
  if (!trouble.open) {
    await catchUp(freshen(), session.refresh());
  }
}

function thanks({ order, balance }, replayed) {
  dialog()
    .querySelectorAll(":scope > :not(header)")
    .forEach((old) => old.remove());
  const title = h("h3", { id: "thanks", tabindex: -1 }, "Thank you. It is yours.");
  dialog().append(
    h(
      "div",
      { class: "empty" },
      tile({ code: "thanks", name: "GIFT" }),
      title,
      h("p", {}, "Your wallet holds ", h("b", {}, money(balance)), " now."),
      replayed
        ? h(
            "p",
            { class: "muted" },
            "The first try had come through already, so nothing was paid twice.",
          )
        : null,
      h(
        "a",
        { class: "button", href: `#/orders?open=${order}`, onclick: () => dialog().close() },
        "See the order",
      ),
    ),
  );
  title.focus();
}
