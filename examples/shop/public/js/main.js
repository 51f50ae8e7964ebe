// Ties the page together: addresses to pages, the header, and what changes it.
import { openAccount } from "./account.js";
import * as browse from "./browse.js";
import * as cart from "./cart.js";
import * as cartview from "./cartview.js";
import { find, say } from "./dom.js";
import * as orders from "./orders.js";
import * as session from "./session.js";
import { money } from "./text.js";
import * as wallet from "./wallet.js";

const main = find("content");
const name = document.title;
const typingPause = 250;

const pages = {
  "/": { title: "", show: browse.show },
  "/orders": { title: "Your orders", show: orders.show },
  "/wallet": { title: "Your wallet", show: wallet.show },
};

// address reads the part of the address behind #.
function address() {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  return { path: path in pages ? path : "/", query: new URLSearchParams(query) };
}

let shown = "";

async function route() {
  const { path, query } = address();
  const page = pages[path];
  const q = path === "/" ? (query.get("q") ?? "") : "";
  document.title = [q, page.title, name].filter(Boolean).join(" · ");
  if (document.activeElement !== find("q")) find("q").value = q;
  find("orders-link").toggleAttribute("aria-current", path === "/orders");
  const turned = shown !== "" && shown !== path;
  shown = path;
  const done = page.show(main, query);
  if (turned) {
    scrollTo(0, 0);
    // Who is typing goes on typing.
    if (document.activeElement !== find("q")) main.focus({ preventScroll: true });
  }
  await done;
}

function header() {
  const someone = session.me();
  document.body.classList.toggle("has-user", someone !== null);
  find("sign-in").hidden = someone !== null;
  find("orders-link").hidden = find("wallet-link").hidden = someone === null;
  find("wallet").textContent = someone ? money(someone.wallet) : "";
}

function counter() {
  find("cart-count").textContent = String(cart.pieces());
  find("open-cart").classList.toggle("full", cart.pieces() > 0);
  browse.redraw(main);
  cartview.changed();
}

// search goes to what is typed, at once on Enter and else when typing pauses.
let pause;
function search(now) {
  clearTimeout(pause);
  pause = setTimeout(
    () => {
      const { path, query } = address();
      const q = find("q").value.trim();
      if (path === "/" && q === (query.get("q") ?? "")) return;
      location.hash = browse.link({
        q,
        sort: query.get("sort") ?? "",
        stock: query.get("stock") === "1",
      });
    },
    now ? 0 : typingPause,
  );
}

find("q").addEventListener("input", () => search(false));
find("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search(true);
});
find("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
find("sign-in").addEventListener("click", () => openAccount("sign-in"));
find("open-cart").addEventListener("click", () => cartview.openCart());
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

let known;
session.watch((someone) => {
  header();
  cartview.changed();
  if (known !== undefined && known !== (someone?.id ?? null)) route();
  known = someone?.id ?? null;
});
cart.watch(counter);
addEventListener("hashchange", route);

header();
counter();
try {
  await session.refresh();
} catch (problem) {
  known = null;
  say(problem.message);
}
await route();
