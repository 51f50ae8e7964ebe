// What it costs to send the cart, asked of the carrier through the shop, which has the key.
import * as api from "./api.js";
import * as cart from "./cart.js";
import { h, put } from "./dom.js";
import { count, money } from "./text.js";

const countries = [
  ["GB", "United Kingdom"],
  ["DE", "Germany"],
  ["FR", "France"],
  ["PT", "Portugal"],
  ["US", "United States"],
];
// What a piece weighs, and the most that a parcel may, in grams; weights are rounded, so that
// many carts have one answer.
const piece = 120;
const step = 250;
const parcelMax = 30000;

let to = "";

// shipping returns the question and its answer.
export function shipping() {
  const rates = h("p", { class: "hint", id: "rates", role: "status" });
  const select = h(
    "select",
    {
      id: "ship-to",
      onchange: () => {
        to = select.value;
        ask(rates);
      },
    },
    [["", "choose a country"], ...countries].map(([code, name]) =>
      h("option", { value: code, selected: code === to }, name),
    ),
  );
  ask(rates);
  return h("div", { class: "field" }, h("label", { for: "ship-to" }, "Send it to"), select, rates);
}

async function ask(place) {
  if (!to) return put(place, "");
  const wanted = to;
  const grams = Math.min(parcelMax, step * Math.ceil((cart.pieces() * piece) / step));
  try {
    const { rates } = await api.get("/api/proxy/shipping/rates", { to, grams });
    if (to !== wanted) return;
    const texts = rates.map((r) => `${r.service} ${money(r.amount)}, ${count(r.days, "day", "days")}`);
    put(place, texts.join(" · "));
  } catch (problem) {
    put(place, problem.status === 429 ? problem.message : "The carrier does not answer just now.");
  }
}
