// The people of a board: who may do what, and who comes in.
import { api } from "./api.js";
import { ask, busy, face, field, h, put, say, select } from "./dom.js";
import { sure } from "./board.js";

const roles = [["viewer", "May look"], ["editor", "May change"], ["owner", "Owns it"]];
const words = Object.fromEntries(roles);

export function people(view, live) {
  const list = h("ul", { class: "people" });
  const owner = view.me?.role === "owner";
  ask("People", { more: [list, owner && invite(view), view.me && sure("Leave this board", "Really leave it?", async () => {
    await api.members.delete(view.me.id);
  })] });
  const stop = live.subscribe(() => put(list, view.members.map((m) => person(view, m))));
  document.getElementById("dialog").addEventListener("close", stop, { once: true });
}

function person(view, member) {
  const name = view.name(member.user) ?? "Somebody";
  const mine = member.user === api.auth.user.id;
  const change = view.me?.role === "owner" && h("select", { "aria-label": `What ${name} may do`, "data-member": member.user,
    onchange: (event) => api.members.update(member.id, { role: event.target.value }).catch((e) => {
      say(e.message);
      event.target.value = member.role;
    }) }, roles.map(([value, text]) => h("option", { value, selected: value === member.role }, text)));
  const remove = view.me?.role === "owner" && !mine && h("button", { class: "link", type: "button", "data-remove": member.user,
    onclick: (event) => busy(event.target, () => api.members.delete(member.id).catch((e) => say(e.message))) },
  "Remove", h("span", { class: "hidden" }, ` ${name}`));
  return h("li", { class: "row" }, face(member.user, name), h("span", { class: "grow" }, name, mine && h("span", { class: "muted" }, " (you)")),
    change || h("span", { class: "muted" }, words[member.role]), remove);
}

function invite(view) {
  const problem = h("div", {});
  const send = h("button", { class: "button wide", type: "submit" }, "Invite");
  const form = h("form", { class: "invite" }, h("h2", {}, "Invite somebody"),
    field("email", "Email of somebody who has signed up", { type: "email", autocomplete: "off" }),
    select("role", "On this board this person", roles, "editor"), problem, send);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    return busy(send, async () => {
      put(problem);
      try {
        await api.actions.invite({ board: view.id, ...Object.fromEntries(new FormData(form)) });
        form.reset();
      } catch (e) {
        put(problem, h("p", { class: "problem", role: "alert" }, e.message));
      }
    });
  });
  return form;
}
