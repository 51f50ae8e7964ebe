// The rooms at the side: those one is in, with what is unread, and those one may come into.
import { api, cel } from "./api.js";
import { ask, busy, field, h, put, say } from "./dom.js";

export function rooms(place, keep) {
  const all = api.rooms.live({ sort: "name", limit: 500 });
  const mine = api.members.live({ filter: cel`user == ${api.auth.user.id}`, limit: 500 });
  const state = {
    find: (id) => all.items.find((r) => r.id === id),
    member: (id) => mine.items.find((m) => m.room === id),
    // loaded is whether it is known which rooms there are, if need be from the last time.
    loaded: () => [all, mine].every((l) => l.state === "live" || l.items.length > 0),
    onChange: null,
  };

  function draw() {
    const at = location.hash.split("/")[2];
    const inside = all.items.filter((r) => state.member(r.id)), outside = all.items.filter((r) => !state.member(r.id));
    let sum = 0;
    const entry = (room) => {
      const member = state.member(room.id);
      const unread = member ? Math.max(0, room.sent - member.seen) : 0;
      sum += unread;
      return h("li", {}, h("a", { class: unread ? "room fresh" : "room", href: `#/r/${room.id}`, "data-room": room.id,
        "aria-current": room.id === at ? "page" : null },
      h("span", { class: "grow" }, room.name),
      unread > 0 && h("span", { class: "unread" }, unread > 99 ? "99+" : unread, h("span", { class: "hidden" }, " unread"))));
    };
    const focused = document.activeElement?.dataset?.room;
    put(place,
      h("h2", {}, "Your rooms"),
      inside.length ? h("ul", {}, inside.map(entry)) : h("p", { class: "muted" }, "You are in none yet."),
      outside.length > 0 && [h("h2", {}, "Other rooms"), h("ul", {}, outside.map(entry))],
      h("button", { class: "button quiet wide", type: "button", id: "new-room", onclick: create }, "New room"));
    if (focused) place.querySelector(`[data-room="${focused}"]`)?.focus();
    document.title = `${sum ? `(${sum}) ` : ""}${state.find(at)?.name ?? "Halyard"}${at ? " · Halyard" : ""}`;
    state.onChange?.();
  }

  state.draw = draw;
  keep(all.subscribe(draw), mine.subscribe(draw));
  return state;
}

function create() {
  ask("New room", {
    fields: [field("name", "Name", { maxlength: 40 }),
      field("about", "What it is about", { maxlength: 160, required: false })],
    button: "Make it",
    async send({ name, about }) {
      const { id } = await api.rooms.create({ name, ...(about && { about }) });
      location.hash = `#/r/${id}`;
    },
  });
}

// enterRoom makes one a member.
export const enterRoom = (button, room) => busy(button, () => api.members.create({ room }).catch((e) => say(e.message)));
