// Who else looks at the board, and where everybody points. A pointer is told as a place within a
// list, so that it means the same on every screen.
import { api } from "./api.js";
import { arrange, colour, face, find, h } from "./dom.js";

export function here(view) {
  const channel = api.channel(`board/${view.id}`, { state: {} });
  const layer = h("div", { class: "cursors", "aria-hidden": "true" });
  const cursors = new Map();
  view.columns.after(layer);

  const others = () => channel.present.filter((p) => p.user && p.user.id !== api.auth.user?.id);

  function draw() {
    const people = new Map(channel.present.filter((p) => p.user).map((p) => [p.user.id, p.user]));
    const list = find("here");
    if (list) {
      const shown = new Map([...list.children].map((e) => [e.dataset.user + e.title, e]));
      arrange(list, [...people.values()].slice(0, 6).map((u) => {
        const name = view.name(u.id) ?? u.name; // who changes his name is here under the new one
        return shown.get(u.id + name) ?? h("li", { "data-user": u.id, title: name }, face(u.id, name));
      }));
    }
    point();
  }

  function point() {
    const seen = new Set();
    for (const { who, user, state } of others()) {
      const column = state?.list && view.columns.querySelector(`[data-list="${CSS.escape(state.list)}"]`);
      if (!column) continue;
      seen.add(who);
      let cursor = cursors.get(who);
      if (!cursor) {
        cursor = h("div", { class: "cursor", "data-user": user.id }, h("span", {}, (view.name(user.id) ?? user.name).split(" ")[0]));
        cursor.style.setProperty("--own", colour(user.id));
        cursors.set(who, cursor);
        layer.append(cursor);
      }
      const box = column.getBoundingClientRect(), base = layer.getBoundingClientRect();
      cursor.style.translate = `${box.x - base.x + state.x * box.width}px ${box.y - base.y + state.y}px`;
      cursor.classList.toggle("grips", Boolean(state.card));
    }
    for (const [who, cursor] of cursors) {
      if (seen.has(who)) continue;
      cursor.remove();
      cursors.delete(who);
    }
  }

  function tell(event) {
    const at = document.elementFromPoint(event.clientX, event.clientY)?.closest(".column[data-list]");
    const box = at?.getBoundingClientRect();
    channel.state(at ? { list: at.dataset.list, card: view.held?.card,
      x: Math.round((event.clientX - box.x) / box.width * 1000) / 1000, y: Math.round(event.clientY - box.y) } : {});
  }
  const gone = () => channel.state({});

  channel.on("present", draw);
  addEventListener("pointermove", tell);
  document.documentElement.addEventListener("pointerleave", gone);
  view.columns.addEventListener("scroll", point, { passive: true });
  addEventListener("resize", point);
  return {
    draw,
    stop() {
      channel.leave();
      layer.remove();
      removeEventListener("pointermove", tell);
      document.documentElement.removeEventListener("pointerleave", gone);
      removeEventListener("resize", point);
    },
  };
}
