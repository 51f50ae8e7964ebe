// Carrying a card from one place to another: with a mouse, with a finger, or with keys. All
// three hold it in the same way, and what is held is drawn where it would be dropped.
import { h, tell } from "./dom.js";

const mouseSlack = 5; // so far a mouse may move in a click
const fingerSlack = 9; // so far a finger may move while it rests
const rest = 220; // so long a finger rests on a card to lift it
const edge = 48; // so near to an edge the board scrolls

export function carry(view) {
  const stops = [pointers(view), keys(view)];
  return () => stops.forEach((stop) => stop());
}

// ended lets go of a card without moving it.
export function ended(view) {
  view.held = null;
}

function pointers(view) {
  const { columns } = view;
  let press = null; // a button or finger that is down on a card
  let ghost = null; // the card that follows it
  let frame = 0;

  function down(event) {
    const card = event.target.closest?.(".card");
    if (!card || press || event.button !== 0 || !view.mayEdit) return;
    press = { id: event.pointerId, card, x: event.clientX, y: event.clientY, at: [event.clientX, event.clientY] };
    if (event.pointerType !== "mouse") press.timer = setTimeout(lift, rest);
  }

  function move(event) {
    if (!press || event.pointerId !== press.id) return;
    press.at = [event.clientX, event.clientY];
    const far = Math.hypot(event.clientX - press.x, event.clientY - press.y);
    if (ghost) return;
    if (event.pointerType === "mouse" && far > mouseSlack) lift();
    else if (event.pointerType !== "mouse" && far > fingerSlack) up(event); // it scrolls
  }

  function lift() {
    const { card } = press;
    const box = card.getBoundingClientRect();
    const list = card.closest(".column").dataset.list;
    press.grip = [press.x - box.x, press.y - box.y];
    view.held = { card: card.dataset.card, list, index: view.shown(list).findIndex((c) => c.id === card.dataset.card), by: "pointer" };
    ghost = h("div", { class: "ghost", "aria-hidden": "true" });
    ghost.append(card.firstElementChild.cloneNode(true));
    ghost.style.width = `${box.width}px`;
    document.body.append(ghost);
    document.body.classList.add("carrying");
    navigator.vibrate?.(12);
    view.draw();
    follow();
  }

  // follow runs once in a frame while a card is carried.
  function follow() {
    if (!ghost) return;
    if (!view.held) return up(); // the card is gone, or the board
    const [x, y] = press.at;
    ghost.style.translate = `${x - press.grip[0]}px ${y - press.grip[1]}px`;
    scroll(x, y);
    const over = target(x, y);
    if (over && (over.list !== view.held.list || over.index !== view.held.index)) {
      Object.assign(view.held, over);
      view.draw();
    }
    frame = requestAnimationFrame(follow);
  }

  // target is where a card would be dropped: in the list that lies across, above the first card
  // whose middle lies below.
  function target(x, y) {
    let list = null, least = Infinity;
    for (const column of columns.querySelectorAll(".column[data-list]")) {
      const box = column.getBoundingClientRect();
      const off = Math.max(box.left - x, x - box.right, 0);
      if (off < least) [list, least] = [column, off];
    }
    if (!list) return null;
    const others = [...list.querySelectorAll(".card")].filter((c) => c.dataset.card !== view.held.card);
    const index = others.findIndex((c) => {
      const box = c.getBoundingClientRect();
      return y < box.top + box.height / 2;
    });
    return { list: list.dataset.list, index: index < 0 ? others.length : index };
  }

  function scroll(x, y) {
    const box = columns.getBoundingClientRect();
    const pull = (low, high, at) => at < low + edge ? (at - low - edge) / 4 : at > high - edge ? (at - high + edge) / 4 : 0;
    columns.scrollLeft += pull(box.left, box.right, x);
    const list = view.held && columns.querySelector(`[data-list="${view.held.list}"] .cards`);
    if (list) list.scrollTop += pull(list.getBoundingClientRect().top, list.getBoundingClientRect().bottom, y);
  }

  function up(event, drop) {
    if (!press || event && event.pointerId !== press.id) return;
    clearTimeout(press.timer);
    press = null;
    if (!ghost) return;
    cancelAnimationFrame(frame);
    ghost.remove();
    ghost = null;
    document.body.classList.remove("carrying");
    // What ends a carry is no click on the card.
    addEventListener("click", swallow, { capture: true, once: true });
    setTimeout(() => removeEventListener("click", swallow, { capture: true }), 50);
    if (drop && view.held) view.drop();
    else {
      ended(view);
      view.draw();
    }
  }

  const swallow = (event) => { event.preventDefault(); event.stopPropagation(); };
  const drop = (event) => up(event, true);
  const hold = (event) => { if (ghost) event.preventDefault(); };
  const key = (event) => { if (event.key === "Escape") up(); };
  columns.addEventListener("pointerdown", down);
  columns.addEventListener("touchmove", hold, { passive: false });
  columns.addEventListener("contextmenu", (event) => { if (press?.timer) event.preventDefault(); });
  columns.addEventListener("dragstart", (event) => event.preventDefault());
  addEventListener("pointermove", move);
  addEventListener("pointerup", drop);
  addEventListener("pointercancel", up);
  addEventListener("keydown", key);
  return () => {
    up();
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", drop);
    removeEventListener("pointercancel", up);
    removeEventListener("keydown", key);
  };
}

function keys(view) {
  const nameOf = (list) => view.lists.find((l) => l.id === list)?.name ?? "";

  // spot is where a card stands, in words.
  function spot() {
    const { list, index } = view.held;
    const others = view.cards(list).filter((c) => c.id !== view.held.card);
    return `${nameOf(list)}, ${index + 1} of ${others.length + 1}`;
  }

  function move(key) {
    const { held } = view;
    const lists = view.lists, at = lists.findIndex((l) => l.id === held.list);
    const size = (list) => view.cards(list).filter((c) => c.id !== held.card).length;
    if (key === "ArrowUp") held.index = Math.max(0, held.index - 1);
    if (key === "ArrowDown") held.index = Math.min(size(held.list), held.index + 1);
    const next = lists[at + (key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : 0)];
    if (next && next.id !== held.list) {
      held.list = next.id;
      held.index = Math.min(held.index, size(next.id));
    }
    view.draw();
    view.element(held.card)?.scrollIntoView({ block: "nearest", inline: "nearest" });
    tell(spot());
  }

  // wander moves the focus from card to card.
  function wander(card, key) {
    const column = card.closest(".column");
    const cards = [...column.querySelectorAll(".card")], index = cards.indexOf(card);
    let next = key === "ArrowUp" ? cards[index - 1] : key === "ArrowDown" ? cards[index + 1] : null;
    if (key === "ArrowLeft" || key === "ArrowRight") {
      let beside = column;
      do beside = key === "ArrowLeft" ? beside.previousElementSibling : beside.nextElementSibling;
      while (beside && !beside.querySelector(".card"));
      const there = beside?.querySelectorAll(".card") ?? [];
      next = there[Math.min(index, there.length - 1)];
    }
    next?.firstElementChild.focus();
  }

  function press(event) {
    const card = event.target.closest?.(".card");
    if (!card || view.held?.by === "pointer") return;
    const lifted = view.held?.card === card.dataset.card;
    const arrow = event.key.startsWith("Arrow");
    if (!lifted && event.key === " " && view.mayEdit) {
      const list = card.closest(".column").dataset.list;
      const index = view.shown(list).findIndex((c) => c.id === card.dataset.card);
      view.held = { card: card.dataset.card, list, index, by: "keys" };
      view.draw();
      tell(`Lifted. ${spot()}. Arrow keys move it, space drops it, escape puts it back.`);
    } else if (!lifted && arrow) wander(card, event.key);
    else if (lifted && arrow) move(event.key);
    else if (lifted && (event.key === " " || event.key === "Enter")) {
      const words = `Dropped. ${spot()}.`;
      view.drop();
      tell(words);
    } else if (lifted && (event.key === "Escape" || event.key === "Tab")) {
      ended(view);
      view.draw();
      tell("Put back.");
      if (event.key === "Tab") return;
    } else return;
    event.preventDefault();
  }

  // A press elsewhere puts a lifted card back.
  const away = (event) => {
    if (view.held?.by !== "keys" || event.target.closest?.(".card.held")) return;
    ended(view);
    view.draw();
  };
  // The space bar presses a button when it comes up again.
  const release = (event) => { if (event.key === " " && event.target.closest?.(".card")) event.preventDefault(); };
  view.columns.addEventListener("keydown", press);
  view.columns.addEventListener("keyup", release);
  addEventListener("pointerdown", away);
  return () => removeEventListener("pointerdown", away);
}
