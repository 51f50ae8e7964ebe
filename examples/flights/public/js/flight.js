// One flight: its seats as they are at this moment, and those that are held for whoever looks.
import { api, cel } from "./api.js";
import { enter } from "./account.js";
import { busy, clock, day, euros, h, icon, put, say } from "./dom.js";
import { far, lasts, map, trip } from "./world.js";

export function flight(main, keep, id) {
  const flightLive = api.flights.live({ filter: cel`id == ${id}` });
  const seatsLive = api.seats.live({ filter: cel`flight == ${id}`, sort: "seat", limit: 500 });
  const buttons = new Map(); // by seat
  const asked = new Map(); // seats that were asked for, and what they become once that is answered
  const panel = h("section", { class: "panel", "aria-label": "Your seats" });
  const problem = h("div", { id: "problem", role: "alert" });
  const left = h("p", { class: "left", id: "left" });
  let drawn = false, gone = false;

  const seats = () => new Map(seatsLive.items.map((s) => [s.seat, s]));
  const mine = (s) => s && s.user && s.user === api.auth.user?.id;
  const over = (s) => s.until && Date.parse(s.until) <= Date.now(); // it is about to be freed
  const held = () => seatsLive.items.filter((s) => mine(s) && s.until && !over(s));

  function draw() {
    const [now] = flightLive.items;
    const t = now && trip(now);
    if (!t) {
      if (["live", "ended"].includes(flightLive.state) && !gone) {
        gone = true;
        put(main, h("div", { class: "page empty" }, h("h1", {}, "This flight is gone"), h("a", { class: "button", href: "#/" }, "All flights")));
      }
      return;
    }
    if (!drawn) begin(t);
    left.textContent = now.left === 0 ? "Sold out" : now.left === 1 ? "One seat left" : `${now.left} seats left`;
    left.classList.toggle("few", now.left < 6);
    const taken = seats();
    for (const [name, button] of buttons) {
      const s = taken.get(name);
      const kind = !s || over(s) && mine(s) ? "free" : mine(s) ? (s.until ? "mine" : "bought") : s.until ? "held" : "sold";
      if (button.dataset.kind !== kind) {
        button.dataset.kind = kind;
        button.setAttribute("aria-label", `${name}, ${words[kind]}`);
        button.setAttribute("aria-pressed", String(kind === "mine"));
        button.setAttribute("aria-disabled", String(!["free", "mine"].includes(kind)));
      }
      if (asked.get(name) === kind) asked.delete(name);
      if (asked.has(name)) button.setAttribute("aria-busy", "true");
      else button.removeAttribute("aria-busy");
    }
    drawPanel(t);
  }

  const words = { free: "free", mine: "held for you", bought: "yours", held: "held by somebody", sold: "taken" };

  function begin(t) {
    drawn = true;
    document.title = `${t.from.city} to ${t.to.city} · Galley Air`;
    const aisles = t.plane.cabin.split(" ");
    const rows = [];
    for (let r = 1; r <= t.plane.rows; r++) {
      rows.push(h("div", { class: "row-of-seats", role: "group", "aria-label": `Row ${r}` },
        aisles.map((letters, i) => [i > 0 && h("span", { class: "aisle", "aria-hidden": "true" }, r), [...letters].map((l) => seat(`${r}${l}`))])));
    }
    const head = h("div", { class: "row-of-seats letters", "aria-hidden": "true" },
      aisles.map((letters, i) => [i > 0 && h("span", { class: "aisle" }), [...letters].map((l) => h("span", {}, l))]));
    const cabin = h("div", { class: "cabin", id: "cabin" }, head, rows);
    cabin.style.setProperty("--across", String(t.plane.cabin.replaceAll(" ", "").length));
    cabin.addEventListener("keydown", wander);
    put(main,
      h("section", { class: "hero" }, h("div", { class: "hero-words" },
        h("h1", {}, `${t.from.city} `, h("span", { "aria-label": "to" }, "→"), ` ${t.to.city}`),
        h("p", {}, `${day(t.flight.departs)}, ${clock(t.flight.departs)} UTC · ${t.connection.number}`),
        h("p", {}, `${t.from.name} to ${t.to.name}, ${far(t.km)} in ${lasts(t.km)}`)), map(t)),
      h("div", { class: "page two" },
        h("section", { "aria-label": "Seats" }, h("div", { class: "cabin-head" }, h("h2", {}, t.plane.name), left),
          h("ul", { class: "legend" }, Object.entries({ free: "Free", mine: "Held for you", bought: "Yours", held: "Held", sold: "Taken" })
            .map(([kind, text]) => h("li", {}, h("span", { class: "swatch", "data-kind": kind }), text))),
          cabin),
        h("div", { class: "aside" }, problem, panel)));
    [...buttons.values()].forEach((b, i) => { b.tabIndex = i === 0 ? 0 : -1; });
  }

  function seat(name) {
    const button = h("button", { class: "seat", type: "button", "data-seat": name, onclick: () => press(name) });
    buttons.set(name, button);
    return button;
  }

  // wander moves the focus over the seats by the arrow keys.
  function wander(event) {
    const name = event.target.dataset?.seat;
    if (!name || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const all = [...buttons.keys()], letters = all.filter((n) => parseInt(n) === 1).length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -letters, ArrowDown: letters }[event.key];
    const next = buttons.get(all[all.indexOf(name) + step]);
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  // press asks for a seat, or gives it back. What the answer is, the server says: it is not shown
  // before that.
  async function press(name) {
    const { kind } = buttons.get(name).dataset;
    if (asked.has(name) || kind === "bought") return;
    if (kind === "held") return refuse(`Seat ${name} is held by somebody else.`);
    if (kind === "sold") return refuse(`Seat ${name} is somebody else's.`);
    if (!api.auth.user) return enter();
    put(problem);
    asked.set(name, null);
    draw();
    try {
      await (kind === "free" ? api.actions.hold({ flight: id, seat: name }) : api.actions.release({ flight: id, seat: name }));
      asked.set(name, kind === "free" ? "mine" : "free"); // as soon as the map shows it
    } catch (e) {
      asked.delete(name);
      refuse(e.code === "seat_taken" ? `Seat ${name} is gone: somebody else was faster.` : e.message);
    }
    draw();
  }

  const refuse = (text) => put(problem, h("p", { class: "problem" }, text));

  function drawPanel(t) {
    const now = held(), bought = seatsLive.items.filter((s) => mine(s) && !s.until);
    const key = JSON.stringify([now.map((s) => s.seat), bought.map((s) => s.seat), t.flight.price, Boolean(api.auth.user)]);
    if (panel.dataset.key !== key) {
      panel.dataset.key = key;
      const total = now.length * t.flight.price;
      put(panel, h("h2", {}, "Your seats"),
        bought.length > 0 && h("p", { class: "bought" }, icon("M4 10l4 4 8-9"), `Yours: ${bought.map((s) => s.seat).join(", ")}`),
        now.length === 0 ? h("p", { class: "muted" }, bought.length ? "You can take more." : "Press a free seat. It is held for you for five minutes.")
          : [h("ul", { class: "chosen" }, now.map((s) => h("li", {}, h("b", {}, s.seat), h("span", { class: "grow" }, euros(t.flight.price)),
            h("button", { class: "link", type: "button", onclick: () => press(s.seat) }, "Give back", h("span", { class: "hidden" }, ` seat ${s.seat}`))))),
          h("p", { class: "timer", id: "timer" }),
          pay(t, total)]);
    }
    const timer = panel.querySelector("#timer");
    if (timer) {
      const rest = Math.max(0, Math.round((Math.min(...now.map((s) => Date.parse(s.until))) - Date.now()) / 1000));
      timer.textContent = `Held for ${Math.floor(rest / 60)}:${String(rest % 60).padStart(2, "0")} more`;
      timer.classList.toggle("few", rest < 60);
    }
  }

  function pay(t, total) {
    const button = h("button", { class: "button wide", type: "button", id: "pay" }, `Pay ${euros(total)} from your wallet`);
    button.addEventListener("click", () => busy(button, async () => {
      put(problem);
      try {
        const { balance } = await api.actions.pay({ flight: id });
        say(`Paid. ${euros(balance)} are left, and the ticket is in your mail.`);
      } catch (e) {
        refuse(e.message);
      }
    }));
    return button;
  }

  const timer = setInterval(draw, 1000);
  keep(() => clearInterval(timer), flightLive.subscribe(draw), seatsLive.subscribe(draw));
}
