// The board of departures. How many seats are left changes while one looks.
import { api, cel } from "./api.js";
import { clock, day, euros, h, put } from "./dom.js";
import { far, lasts, map, trip } from "./world.js";

let search = "";

export function departures(main, keep) {
  const live = api.flights.live({ filter: cel`departs > ${new Date()}`, sort: "departs", limit: 500 });
  const list = h("ul", { class: "flights", id: "flights" });
  const rows = new Map();
  const field = h("input", { id: "q", type: "search", value: search, placeholder: "City, country or code", autocomplete: "off" });
  field.addEventListener("input", () => { search = field.value; draw(); });

  function draw() {
    const words = search.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (t) => {
      const text = [t.from, t.to].flatMap((a) => [a.city, a.country, a.code, a.name]).concat(t.connection.number).join(" ").toLowerCase();
      return words.every((w) => text.includes(w));
    };
    const found = live.items.filter((f) => Date.parse(f.departs) > Date.now()).map(trip).filter((t) => t && fits(t));
    const drawn = [];
    let last;
    for (const t of found) {
      const date = day(t.flight.departs);
      if (date !== last) drawn.push(h("li", { class: "day" }, date));
      last = date;
      drawn.push(row(t));
    }
    put(list, live.state === "loading" && !drawn.length ? h("li", { class: "muted" }, "Reading the board…")
      : drawn.length ? drawn : h("li", { class: "muted" }, "No flight fits."));
  }

  function row(t) {
    const { flight, from, to } = t;
    let item = rows.get(flight.id);
    if (!item) {
      item = h("li", {}, h("a", { class: "flight", href: `#/f/${flight.id}`, "data-flight": flight.id, "data-number": t.connection.number },
        h("span", { class: "time" }, clock(flight.departs)),
        h("span", { class: "way-of" },
          h("b", {}, `${from.city} `, h("span", { class: "arrow", "aria-label": "to" }, "→"), ` ${to.city}`),
          h("span", { class: "muted" }, `${from.code}–${to.code} · ${t.connection.number} · ${t.plane.name} · ${far(t.km)}, ${lasts(t.km)}`)),
        h("span", { class: "price" }, euros(flight.price)), h("span", { class: "left" })));
      rows.set(flight.id, item);
    }
    const left = item.querySelector(".left");
    left.textContent = flight.left === 0 ? "Sold out" : flight.left === 1 ? "Last seat" : `${flight.left} seats left`;
    left.classList.toggle("few", flight.left < 6);
    return item;
  }

  put(main,
    h("section", { class: "hero" },
      h("div", { class: "hero-words" }, h("h1", {}, "Where would you sit?"),
        h("p", {}, "A seat that somebody takes is taken on every screen, in the same moment."),
        h("label", { class: "hidden", for: "q" }, "Search flights"), field),
      map()),
    h("div", { class: "page" }, h("h2", { class: "hidden" }, "Departures"), list));
  const timer = setInterval(draw, 30_000);
  keep(live.subscribe(draw), () => clearInterval(timer));
}
