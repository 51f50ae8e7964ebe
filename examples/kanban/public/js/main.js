// The page: who is signed in, which place the address names, and whether the line is up.
import { api, cel } from "./api.js";
import { enter, you } from "./account.js";
import { board } from "./board.js";
import { boards } from "./boards.js";
import { face, find, h, put } from "./dom.js";

const main = find("content");
let undo = []; // what ends with the place that is shown
const leave = () => { for (const end of undo.splice(0)) end(); };

// The one who is signed in, as the server has him.
let pulse = null;
let drawn;

function self() {
  const user = pulse?.items[0] ?? api.auth.user;
  const key = user && user.id + user.name;
  if (key === drawn) return;
  drawn = key;
  put(find("self"), user
    ? h("button", { class: "me", type: "button", id: "me", "aria-label": `You, ${user.name}`, onclick: () => you(user) }, face(user.id, user.name))
    : h("button", { class: "button", type: "button", id: "sign-in", onclick: () => enter() }, "Sign in"));
}

// show draws the place that the address names.
function show() {
  leave();
  const keep = (...ends) => undo.push(...ends);
  const user = api.auth.user;
  put(find("place"));
  self();
  document.title = "Slipway";
  const [, kind, id] = location.hash.split("/");
  main.className = user && kind === "b" ? "on-board" : "";
  if (!user) return put(main, welcome());
  if (kind === "b" && id) return board(main, keep, id);
  return boards(main, keep);
}

const welcome = () =>
  h("div", { class: "page empty" },
    h("h1", {}, "What is on the slipway?"),
    h("p", {}, "Boards with lists and cards. Whatever one moves, the others see moving."),
    h("p", { class: "row" },
      h("button", { class: "button", type: "button", onclick: () => enter() }, "Sign in"),
      h("button", { class: "button quiet", type: "button", onclick: () => enter(true) }, "Sign up")));

find("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => {
  find("dialog").close();
  show();
  main.focus({ preventScroll: true });
});

// line says whether the line is up, and what waits for it.
function line() {
  const waiting = api.outbox.pending.length;
  const words = waiting === 1 ? "1 change waits" : waiting > 1 ? `${waiting} changes wait` : "";
  find("line").hidden = api.line.state === "live";
  find("line").textContent = ["Offline", words].filter(Boolean).join(". ");
}
api.line.subscribe(line);
api.outbox.onChange(line);

let who, end = () => {};
api.auth.onChange(() => {
  const id = api.auth.user?.id ?? null;
  if (id === who) return;
  who = id;
  end();
  pulse = id && api.users.live({ filter: cel`id == ${id}` });
  show();
  end = pulse ? pulse.subscribe(self) : () => {};
});

// The page's own files are kept, so that it opens without a connection, too: see sw.js.
navigator.serviceWorker?.register("/sw.js").then(() => navigator.serviceWorker.ready).then(({ active }) => {
  active.postMessage([location.origin + "/", ...performance.getEntriesByType("resource").map((r) => r.name)]);
}, () => {}); // a browser that keeps nothing
