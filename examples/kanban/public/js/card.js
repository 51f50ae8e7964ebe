// The dialog of one card.
import { api } from "./api.js";
import { ask, field, h, say, select } from "./dom.js";
import { sure } from "./board.js";

export function openCard(view, id) {
  const card = view.card(id);
  if (!card) return;
  const by = h("p", { class: "muted" }, `Written by ${view.name(card.author) ?? "somebody"}`);
  if (!view.mayEdit) {
    return ask(card.title, { more: [
      card.body && h("p", { class: "body" }, card.body),
      card.assignee && h("p", {}, `Given to ${view.name(card.assignee) ?? "somebody"}`), by] });
  }
  const people = view.members.map((m) => [m.user, view.name(m.user) ?? "Somebody"]);
  ask("Card", {
    fields: [
      field("title", "Title", { value: card.title, maxlength: 200 }),
      area(card.body),
      select("assignee", "Given to", [["", "Nobody"], ...people], card.assignee ?? ""),
    ],
    button: "Save",
    // It is shown at once. If it is refused later on, the page says so.
    async send({ title, body, assignee }) {
      api.cards.update(id, { title: title.trim(), body: body || null, assignee: assignee || null })
        .catch((e) => say(e.message));
    },
    more: [by, sure("Delete this card", "Really delete it?", () => api.cards.delete(id))],
  });
}

function area(text) {
  const all = field("body", "More about it", { rows: 4, maxlength: 5000, required: false }, "textarea");
  all.querySelector("textarea").value = text ?? "";
  return all;
}
