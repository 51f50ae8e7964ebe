// The page: who is signed in, which room the address names, and whether the line is up.
import { api, cel } from "./api.js";
import { enter, you } from "./account.js";
import { face, find, h, put } from "./dom.js";
import { room } from "./room.js";
import { rooms } from "./rooms.js";

const main = find("content");
let undo = []; // what ends with the room that is shown
let side; // the rooms at the side, for as long as somebody is signed in
let undoSide = [];
const end = (all) => { for (const stop of all.splice(0)) stop(); };

// show draws the room that the address names.
function show() {
  end(undo);
  const [, kind, id] = location.hash.split("/");
  const inside = kind === "r" && id;
  document.body.classList.toggle("in-room", Boolean(inside));
  if (!api.auth.user) return put(main, welcome());
  if (inside) room(main, (...stops) => undo.push(...stops), id, side);
  else put(main, h("div", { class: "empty" }, h("h1", {}, `Hello, ${api.auth.user.name.split(" ")[0]}.`), h("p", {}, "Choose a room, or make one.")));
  return side.draw?.();
}

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
    : h("button", { class: "button small", type: "button", id: "sign-in", onclick: () => enter() }, "Sign in"));
}

// begin draws everything anew, as another one has signed in.
function begin() {
  end(undo);
  end(undoSide);
  const { user } = api.auth;
  self();
  document.body.classList.toggle("out", !user);
  put(find("rooms"));
  side = user && rooms(find("rooms"), (...stops) => undoSide.push(...stops));
  show();
}

const welcome = () =>
  h("div", { class: "empty" },
    h("h1", {}, "What is new on the quay?"),
    h("p", {}, "Rooms in which neighbours write to each other."),
    h("p", { class: "row" },
      h("button", { class: "button", type: "button", onclick: () => enter() }, "Sign in"),
      h("button", { class: "button quiet", type: "button", onclick: () => enter(true) }, "Sign up")));

find("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", show);

// line says whether the line is up, and what waits for it.
function line() {
  const waiting = api.outbox.pending.length;
  const words = waiting === 1 ? "1 thing waits to be sent" : waiting > 1 ? `${waiting} things wait to be sent` : "";
  find("line").hidden = api.line.state === "live";
  find("line").textContent = ["Offline", words].filter(Boolean).join(". ");
}
api.line.subscribe(line);
api.outbox.onChange(line);

let who, stop = () => {};
api.auth.onChange(() => {
  const id = api.auth.user?.id ?? null;
  if (id === who) return;
  who = id;
  stop();
  pulse = id && api.users.live({ filter: cel`id == ${id}` });
  begin();
  stop = pulse ? pulse.subscribe(self) : () => {};
});

// The page's own files are kept, so that it opens without a connection, too: see sw.js.
navigator.serviceWorker?.register("/sw.js").then(() => navigator.serviceWorker.ready).then(({ active }) => {
  active.postMessage([location.origin + "/", ...performance.getEntriesByType("resource").map((r) => r.name)]);
}, () => {}); // a browser that keeps nothing
