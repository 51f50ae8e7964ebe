// The place where all boards of a person are.
import { api } from "./api.js";
import { ask, field, h, put, say } from "./dom.js";

export function boards(main, keep) {
  const live = api.boards.live({ sort: "name", limit: 200 });
  const grid = h("ul", { class: "boards" });
  put(main, h("div", { class: "page" }, h("h1", {}, "Your boards"), grid));
  const make = h("li", {}, h("button", { class: "board make", type: "button", id: "new-board", onclick: create }, "New board"));
  keep(live.subscribe((all) => put(grid,
    all.map((b) => h("li", {}, h("a", { class: "board", href: `#/b/${b.id}`, "data-board": b.id }, b.name))), make)));
}

function create() {
  ask("New board", {
    fields: [field("name", "Name", { maxlength: 80, placeholder: "The summer fair" })],
    button: "Make it",
    async send({ name }) {
      const { id } = await api.boards.create({ name });
      location.hash = `#/b/${id}`;
      say("You own this board. Invite others by “People”.");
    },
  });
}
