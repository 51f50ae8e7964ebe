// The page: who is signed in, what is in the wallet, which place the address names.
import { api, cel } from "./api.js";
import { enter, you } from "./account.js";
import { bookings } from "./bookings.js";
import { departures } from "./departures.js";
import { euros, find, h, put } from "./dom.js";
import { flight } from "./flight.js";
import { load } from "./world.js";

const main = find("content");
let undo = []; // what ends with the place that is shown
let undoWallet = () => {};

// show draws the place that the address names.
function show() {
  for (const end of undo.splice(0)) end();
  const keep = (...ends) => undo.push(...ends);
  const [, kind, id] = location.hash.split("/");
  document.title = "Galley Air";
  places(kind);
  if (kind === "f" && id) return flight(main, keep, id);
  if (kind === "bookings") return bookings(main, keep);
  return departures(main, keep);
}

function places(kind = "") {
  const place = (at, hash, words) => h("a", { href: hash, "aria-current": kind === at ? "page" : null }, words);
  put(find("places"), place("", "#/", "Flights"), api.auth.user && place("bookings", "#/bookings", "Bookings"));
}

function self() {
  undoWallet();
  undoWallet = () => {};
  const { user } = api.auth;
  if (!user) return put(find("self"), h("button", { class: "button small", type: "button", id: "sign-in", onclick: () => enter() }, "Sign in"));
  const wallet = h("span", { class: "wallet", id: "wallet", title: "Your wallet" });
  let now = user;
  const button = h("button", { class: "me", type: "button", id: "me", onclick: () => you(now) });
  put(find("self"), wallet, button);
  return undoWallet = api.users.live({ filter: cel`id == ${user.id}` }).subscribe(([me]) => {
    if (me) wallet.textContent = euros(me.wallet);
    now = me ?? user;
    button.textContent = now.name.split(" ")[0];
  });
}

find("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => {
  find("dialog").close();
  show();
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
});
// Nothing is booked while the line is down: an action does not wait for it.
api.line.subscribe((state) => { find("line").hidden = state === "live"; });

let who;
try {
  await load();
  api.auth.onChange(() => {
    const id = api.auth.user?.id ?? null;
    if (id === who) return;
    who = id;
    self();
    show();
  });
} catch (e) {
  put(main, h("div", { class: "page" }, h("p", { class: "problem", role: "alert" }, e.message)));
  addEventListener("online", () => location.reload());
}

// The page's own files are kept, so that it opens without a connection, too: see sw.js.
navigator.serviceWorker?.register("/sw.js").then(() => navigator.serviceWorker.ready).then(({ active }) => {
  active.postMessage([location.origin + "/", ...performance.getEntriesByType("resource").map((r) => r.name)]);
}, () => {}); // a browser that keeps nothing
