// What somebody has paid for.
import { api } from "./api.js";
import { clock, day, euros, h, put } from "./dom.js";
import { trip } from "./world.js";

export function bookings(main, keep) {
  const list = h("ul", { class: "tickets", id: "bookings" });
  put(main, h("div", { class: "page" }, h("h1", {}, "Your bookings"), list));
  if (!api.auth.user) return put(list, h("li", { class: "muted" }, "Sign in first."));
  const live = api.bookings.live({ sort: "-created", limit: 100, expand: ["flight"] });
  keep(live.subscribe((all) => {
    const drawn = all.map((b) => ({ b, t: b.expand?.flight && trip(b.expand.flight) })).filter(({ t }) => t)
      .map(({ b, t }) => h("li", { class: "ticket" },
        h("div", { class: "grow" }, h("b", {}, `${t.from.city} → ${t.to.city}`),
          h("p", { class: "muted" }, `${day(t.flight.departs)}, ${clock(t.flight.departs)} UTC · ${t.connection.number} · ${euros(b.total)}`)),
        h("p", { class: "stub" }, h("span", {}, b.seats.length === 1 ? "Seat" : "Seats"), h("b", {}, b.seats.join(" ")))));
    put(list, drawn.length ? drawn : h("li", { class: "muted" }, live.state === "loading" ? "Reading…" : "Nothing yet. Every seat that you pay for is here."));
  }));
}
