// Money from a card into the wallet. The shop charges the card by itself, also when this page
// is closed: what is shown here is how far it is.
import * as api from "./api.js";
import { busy, find, h, put, say } from "./dom.js";
import { clear, mark, panel } from "./problem.js";
import * as session from "./session.js";
import { money } from "./text.js";

const amounts = [1000, 2500, 5000, 10000];
// The provider's names of cards to try things out with.
const cards = [
  ["pm_card_visa", "4242 · works"],
  ["pm_card_flaky", "0119 · works at the third try"],
  ["pm_card_declined", "0002 · is declined"],
];
const patience = { first: 250, most: 2000 };

// kept is where the top-up that is under way is remembered, so that a page that is opened
// anew goes on showing it.
const kept = (someone) => `shop.top-up.${someone.id}`;

function remember(someone, job) {
  try {
    if (job) localStorage.setItem(kept(someone), JSON.stringify(job));
    else localStorage.removeItem(kept(someone));
  } catch {
    // A browser that keeps nothing shows it until the page is closed.
  }
}

function remembered(someone) {
  try {
    return JSON.parse(localStorage.getItem(kept(someone)));
  } catch {
    return null;
  }
}

// asked keeps the key of a top-up that has no answer yet.
let asked = null;

// topUp returns the form, and what is under way.
export function topUp(someone) {
  const button = h("button", { class: "button", id: "top-up" }, "Top up");
  const progress = h("div", { class: "charging", id: "charging", role: "status" });
  const form = h(
    "form",
    {
      class: "form block",
      onsubmit: async (e) => {
        e.preventDefault();
        clear(form);
        const body = { amount: Number(form.elements.amount.value), card: form.elements.card.value };
        const same = asked?.body.amount === body.amount && asked.body.card === body.card;
        if (!same) asked = { body, key: crypto.randomUUID() };
        try {
          const { value } = await busy(button, "Asking …", () =>
            api.act("top_up", body, asked.key),
          );
          asked = null;
          const job = { id: value.job, amount: body.amount };
          remember(someone, job);
          follow(someone, job, progress);
        } catch (problem) {
          if (!problem.open) asked = null;
          mark(form, problem);
        }
      },
    },
    h("h2", {}, "Top up with a card"),
    h(
      "div",
      { class: "pair" },
      field(
        "amount",
        "Amount",
        amounts.map((n) => [n, money(n)]),
      ),
      field("card", "Card ending in", cards),
    ),
    h("div", { class: "buttons" }, button),
    progress,
  );
  const job = remembered(someone);
  if (job) follow(someone, job, progress);
  return form;
}

function field(name, label, options) {
  return h(
    "div",
    { class: "field" },
    h("label", { for: `top-up-${name}` }, label),
    h(
      "select",
      { id: `top-up-${name}`, name },
      options.map(([value, text]) => h("option", { value }, text)),
    ),
  );
}

// follow shows how far a charge is until it has ended.
async function follow(someone, job, place) {
  for (let wait = patience.first; session.me()?.id === someone.id; ) {
    let now;
    try {
      now = await api.get(`/api/jobs/${job.id}`);
    } catch (problem) {
      if (!problem.open) {
        remember(someone, null);
        put(place, problem.status === 404 ? "" : panel(problem));
        return;
      }
    }
    // Whoever looks at another page comes back to this one through topUp.
    if (!place.isConnected) return;
    if (now?.state === "done" || now?.state === "failed" || now?.state === "cancelled") {
      remember(someone, null);
      await ended(now, job, place);
      return;
    }
    put(place, bar(now, job));
    await new Promise((go) => setTimeout(go, wait));
    wait = Math.min(2 * wait, patience.most);
  }
}

async function ended({ state, problem }, { amount }, place) {
  if (state !== "done") {
    const why = new api.Problem({ title: sentence(problem) }, 409);
    put(place, panel(why));
    return;
  }
  await session.refresh().catch(() => null);
  if (session.me() && find("balance")) find("balance").textContent = money(session.me().wallet);
  put(place, h("p", { class: "paid" }, `${money(amount)} came into your wallet.`));
  say(`${money(amount)} came into your wallet.`);
}

const sentence = (problem) =>
  problem?.detail || problem?.title || "The card could not be charged. Nothing was taken.";

function bar(now, { amount }) {
  const { done, total } = now?.progress ?? { done: 0, total: 2 };
  const again = now?.problem !== undefined;
  return [
    h("label", { for: "charge" }, `Charging ${money(amount)}`),
    h("progress", { id: "charge", max: total, value: done }),
    h(
      "p",
      { class: "hint" },
      again
        ? "The bank did not answer. The shop asks it again by itself, and charges you once."
        : "You can close this page: the shop goes on by itself.",
    ),
  ];
}
