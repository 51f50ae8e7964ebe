// One board: what the server holds of it is drawn, and drawn again whenever it changes. Who drags
// a card or lifts it with a key has it drawn where he holds it, until he lets it go.
import { api, cel } from "./api.js";
import { openCard } from "./card.js";
import { carry, ended } from "./carry.js";
import { arrange, ask, face, field, find, h, icon, put, say } from "./dom.js";
import { people } from "./people.js";
import { here } from "./presence.js";

const step = 1024;
const inOrder = (a, b) => a.position - b.position || (a.id < b.id ? -1 : 1);

// between is a place between two others, of which each may be missing.
const between = (a, b) =>
  a && b ? (a.position + b.position) / 2 : a ? a.position + step : b ? b.position - step : 0;

// place is where something stands that comes before the one at index.
export const place = (others, index) => between(others[index - 1], others[index]);

export function board(main, keep, id) {
  const boardLive = api.boards.live({ filter: cel`id == ${id}` });
  const membersLive = api.members.live({ filter: cel`board == ${id}`, expand: ["user"], limit: 500 });
  const listsLive = api.lists.live({ filter: cel`board == ${id}`, sort: "position", limit: 100 });
  const cardsLive = api.cards.live({ filter: cel`list.board == ${id}`, sort: "position", limit: 500 });

  const columns = h("div", { class: "columns", id: "columns" });
  const listElements = new Map(), cardElements = new Map();
  const view = {
    id, columns, held: null,
    get members() { return membersLive.items; },
    get me() { return view.members.find((m) => m.user === api.auth.user?.id); },
    get mayEdit() { return Boolean(view.me) && view.me.role !== "viewer"; },
    get lists() { return [...listsLive.items].sort(inOrder); },
    card: (card) => cardsLive.items.find((c) => c.id === card),
    // cards of a list, from top to bottom, as the server has them.
    cards: (list) => cardsLive.items.filter((c) => c.list === list).sort(inOrder),
    // shown is the same, but with the card that is held where it is held.
    shown(list) {
      const { held } = view;
      if (!held) return view.cards(list);
      const others = view.cards(list).filter((c) => c.id !== held.card);
      const card = held.list === list && view.card(held.card);
      if (card) others.splice(held.index, 0, card);
      return others;
    },
    // name is what a member is called.
    name: (user) => view.members.find((m) => m.user === user)?.expand?.user?.name,
    element: (card) => cardElements.get(card),
    draw, drop,
  };

  // drop commits the move of the card that is held, if it has moved.
  function drop() {
    const { card: id, list, index } = view.held;
    view.held = null;
    const others = view.cards(list).filter((c) => c.id !== id);
    const card = view.card(id);
    const stays = card && card.list === list && view.cards(list).findIndex((c) => c.id === id) === index;
    if (card && !stays) api.cards.update(id, { list, position: place(others, index) }).catch(refused);
    draw();
  }

  const add = h("div", { class: "column add" },
    h("button", { class: "button quiet wide", type: "button", id: "new-list", onclick: newList }, "Add a list"));

  function newList() {
    ask("New list", {
      fields: [field("name", "Name", { maxlength: 80 })], button: "Add it",
      // Whoever waits for the answer waits for the line: what is written offline is sent later.
      async send({ name }) {
        api.lists.create({ board: id, name, position: place(view.lists, view.lists.length) }).catch(refused);
      },
    });
  }

  let closed = false;
  function draw() {
    if (closed) return;
    const [mine] = boardLive.items;
    if (!mine && ["loading", "offline"].includes(boardLive.state)) return; // nobody knows yet
    if (!mine) return close();
    if (view.held && !view.card(view.held.card)) view.held = null; // somebody has deleted it
    document.title = `${mine.name} · Slipway`;
    head(mine);
    main.toggleAttribute("data-readonly", !view.mayEdit);
    add.hidden = !view.mayEdit;
    const before = positions();
    const focused = document.activeElement?.closest?.(".card");
    arrange(columns, [...view.lists.map(column), add]);
    // A card that came to another place in the document has lost its focus there.
    if (focused?.isConnected && document.activeElement === document.body) focused.querySelector("button").focus({ preventScroll: true });
    for (const [id, element] of cardElements) if (!element.isConnected) cardElements.delete(id);
    slide(before);
    presence.draw();
  }

  // close is for who may not see the board any more, or never could.
  function close() {
    closed = true;
    find("dialog").close();
    ended(view);
    put(find("place"));
    put(main, h("div", { class: "page empty", id: "closed" }, h("h1", {}, "This board is closed to you"),
      h("p", {}, "It was deleted, or you are not one of its people any more."),
      h("a", { class: "button", href: "#/" }, "Your boards")));
    stopHere();
  }

  function head({ name }) {
    if (find("board-name")?.textContent === name) return;
    put(find("place"), h("h1", { id: "board-name" }, name),
      h("button", { class: "round", type: "button", id: "board-menu", "aria-label": "About this board", onclick: () => menu(view, name) }, dots()),
      h("ul", { class: "here", id: "here", "aria-label": "Who is here" }),
      h("button", { class: "button quiet small", type: "button", id: "people", onclick: () => people(view, membersLive) }, "People"));
  }

  function column(list) {
    let element = listElements.get(list.id);
    if (!element) {
      const title = h("h2", {}), count = h("span", { class: "count" });
      element = h("section", { class: "column", "data-list": list.id },
        h("div", { class: "column-head" }, title, count,
          h("button", { class: "round", type: "button", "aria-label": "About this list", onclick: () => listMenu(view, list.id) }, dots())),
        h("ul", { class: "cards" }), composer(view, list.id));
      listElements.set(list.id, element);
    }
    const cards = view.shown(list.id);
    element.setAttribute("aria-label", list.name);
    element.querySelector("h2").textContent = list.name;
    element.querySelector(".count").textContent = cards.length;
    arrange(element.querySelector(".cards"), cards.map(card));
    return element;
  }

  const called = (user) => view.name(user) ?? "Somebody";

  function card(c) {
    let element = cardElements.get(c.id);
    if (!element) {
      element = h("li", { class: "card", "data-card": c.id },
        h("button", { class: "front", type: "button", "aria-describedby": "how", onclick: () => openCard(view, c.id) },
          h("span", { class: "title" }), h("span", { class: "marks" })));
      cardElements.set(c.id, element);
    }
    const held = view.held?.card === c.id;
    element.classList.toggle("held", held);
    const mark = JSON.stringify([c.title, Boolean(c.body), c.assignee, c.assignee && called(c.assignee)]);
    if (element.dataset.mark === mark) return element;
    element.dataset.mark = mark;
    element.querySelector(".title").textContent = c.title;
    put(element.querySelector(".marks"),
      c.body && h("span", { class: "mark", title: "Has a description" }, icon("M4 6h12M4 10h12M4 14h7")),
      c.assignee && face(c.assignee, called(c.assignee)));
    return element;
  }

  // positions and slide let cards glide to where they are now.
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  function positions() {
    const all = new Map();
    if (!calm.matches && cardElements.size <= 200) {
      for (const [id, e] of cardElements) if (e.isConnected) all.set(id, e.getBoundingClientRect());
    }
    return all;
  }
  function slide(before) {
    for (const [id, was] of before) {
      const e = cardElements.get(id);
      if (!e?.isConnected) continue;
      const is = e.getBoundingClientRect();
      const [x, y] = [was.x - is.x, was.y - is.y];
      if (Math.abs(x) + Math.abs(y) < 2) continue;
      e.animate([{ translate: `${x}px ${y}px` }, { translate: "0 0" }], { duration: 180, easing: "ease-out" });
    }
  }

  put(main, columns);
  const presence = here(view);
  let stopped = false;
  const stopHere = () => { if (!stopped) presence.stop(); stopped = true; };
  keep(stopHere, carry(view), ...[boardLive, membersLive, listsLive, cardsLive].map((live) => live.subscribe(draw)));
  keep(() => { closed = true; });
}

const refused = (e) => say(e.message);
const dots = () => icon("M4 10h.01M10 10h.01M16 10h.01");

// composer is where a card is written at the foot of a list.
function composer(view, list) {
  const text = h("textarea", { name: "title", rows: 2, maxlength: 200, "aria-label": "Title of the new card", required: true });
  const form = h("form", { class: "compose", hidden: true }, text,
    h("div", { class: "row" }, h("button", { class: "button small", type: "submit" }, "Add"),
      h("button", { class: "button quiet small", type: "button", onclick: () => show(false) }, "Done")));
  const open = h("button", { class: "more", type: "button", onclick: () => show(true) }, "+ Add a card");
  const show = (yes) => {
    form.hidden = !yes;
    open.hidden = yes;
    (yes ? text : open).focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const title = text.value.replace(/\s+/g, " ").trim();
    if (!title) return;
    const cards = view.cards(list);
    api.cards.create({ list, title, position: place(cards, cards.length) }).catch(refused);
    text.value = "";
    text.scrollIntoView({ block: "nearest" });
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
    if (event.key === "Escape") show(false);
  });
  return h("div", { class: "foot" }, form, open);
}

function menu(view, name) {
  const owner = view.me?.role === "owner";
  ask("This board", {
    fields: view.mayEdit ? [field("name", "Name", { value: name, maxlength: 80 })] : [],
    button: view.mayEdit && "Rename",
    async send(values) { api.boards.update(view.id, values).catch(refused); },
    more: owner && sure("Delete this board", "Really delete it, with all of its lists and cards?",
      async () => { await api.boards.delete(view.id); location.hash = "#/"; }),
  });
}

function listMenu(view, id) {
  const lists = view.lists, at = lists.findIndex((l) => l.id === id), list = lists[at];
  if (!view.mayEdit) return ask(list.name, { more: h("p", { class: "muted" }, "You may look at this board, and not change it.") });
  const others = lists.filter((l) => l.id !== id);
  const move = (to) => {
    find("dialog").close();
    api.lists.update(id, { position: place(others, to) }).catch(refused);
  };
  return ask("This list", {
    fields: [field("name", "Name", { value: list.name, maxlength: 80 })],
    button: "Rename",
    async send(values) { api.lists.update(id, values).catch(refused); },
    more: [h("div", { class: "row" },
      h("button", { class: "button quiet grow", type: "button", disabled: at === 0, onclick: () => move(at - 1) }, "Move left"),
      h("button", { class: "button quiet grow", type: "button", disabled: at === others.length, onclick: () => move(at + 1) }, "Move right")),
    sure("Delete this list", "Really delete it, with its cards?", () => api.lists.delete(id))],
  });
}

// sure is a button that asks once more.
export function sure(words, question, act) {
  const button = h("button", { class: "button danger wide", type: "button" }, words);
  let asked = false;
  button.addEventListener("click", async () => {
    button.textContent = question;
    if (!asked) return void (asked = true);
    find("dialog").close();
    try {
      await act();
    } catch (e) {
      refused(e);
    }
  });
  return button;
}
