import { expect, test, type World } from "galley/test";

const provider = "http://127.0.0.1:4242";

// bank plays the provider: it charges once for each key, and fails as it is told to, before
// or after it has charged.
function bank(t: World, fails: { before?: number; after?: number } = {}) {
  const charged: { [key: string]: any } = {};
  t.host(provider, (request) => {
    const key = request.headers["idempotency-key"];
    const form = new URLSearchParams(request.body);
    if ((fails.before ?? 0) > 0) {
      fails.before!--;
      return { status: 503 };
    }
    if (form.get("payment_method") === "pm_card_declined") {
      return { status: 402, json: { error: { code: "card_declined" } } };
    }
    charged[key] ??= {
      id: "pi_" + (Object.keys(charged).length + 1),
      amount: Number(form.get("amount")),
      metadata: { user: form.get("metadata[user]") },
    };
    if ((fails.after ?? 0) > 0) {
      fails.after!--;
      return { status: 504 };
    }
    return { json: charged[key] };
  });
  return charged;
}

const wallet = async (t: World, id: string) => (await t.db.users.get(id)).wallet;

test("a card is charged and the wallet filled", async (t) => {
  const charged = bank(t);
  const ana = await t.user({ name: "Ana" });
  const { job } = await ana.actions.top_up({ amount: 2500, card: "pm_card_visa" });
  await t.settle();
  expect(await ana.request("GET", "/api/jobs/" + job)).toMatchObject({
    state: "done",
    progress: { done: 2, total: 2 },
  });
  expect(Object.values(charged)).toMatchObject([{ amount: 2500 }]);
  expect(await wallet(t, ana.id)).toBe(2500);
  expect((await ana.top_ups.list()).items).toMatchObject([{ amount: 2500, status: "paid" }]);
});

test("a provider that fails is asked again, and charges once", async (t) => {
  const charged = bank(t, { before: 2, after: 2 });
  const ana = await t.user({ name: "Ana" });
  await ana.actions.top_up({ amount: 2500, card: "pm_card_visa" });
  await t.settle();
  expect(await wallet(t, ana.id)).toBe(0);
  for (let i = 0; i < 4; i++) await t.advance("1m");
  expect(Object.keys(charged)).toHaveLength(1);
  expect(await wallet(t, ana.id)).toBe(2500);
});

test("a card that is declined is not tried again", async (t) => {
  bank(t);
  const ana = await t.user({ name: "Ana" });
  const { job } = await ana.actions.top_up({ amount: 2500, card: "pm_card_declined" });
  await t.advance("1h");
  expect(await ana.request("GET", "/api/jobs/" + job)).toMatchObject({
    state: "failed",
    problem: { code: "card_declined" },
  });
  expect(await wallet(t, ana.id)).toBe(0);
});

test("the provider's word counts once, beside the job's, and in any order", async (t) => {
  const charged = bank(t, { after: 1 });
  const ana = await t.user({ name: "Ana" });
  await ana.actions.top_up({ amount: 2500, card: "pm_card_visa" });
  await t.settle();
  const payment = Object.values(charged)[0];
  const paid = { type: "payment_intent.succeeded", data: { object: payment } };
  const back = { type: "charge.refunded", data: { object: { payment_intent: payment.id } } };

  const early = await t.webhook("stripe", { id: "evt_2", ...back }, { id: "evt_2" });
  expect(early.status).toBe(409);
  for (let i = 0; i < 2; i++) {
    const { status } = await t.webhook("stripe", { id: "evt_1", ...paid }, { id: "evt_1" });
    expect(status).toBe(200);
    expect(await wallet(t, ana.id)).toBe(2500);
  }
  await t.advance("1m"); // the job hears of it only now
  expect(await wallet(t, ana.id)).toBe(2500);

  for (let i = 0; i < 2; i++) {
    const { status } = await t.webhook("stripe", { id: "evt_2", ...back }, { id: "evt_2" });
    expect(status).toBe(200);
    expect(await wallet(t, ana.id)).toBe(0);
  }
});

test("money that was spent cannot be taken back out of the wallet", async (t) => {
  const charged = bank(t);
  const ana = await t.user({ name: "Ana" });
  await ana.actions.top_up({ amount: 2500, card: "pm_card_visa" });
  await t.settle();
  await t.db.users.update(ana.id, { wallet: 100 });
  const object = { payment_intent: Object.values(charged)[0].id };
  const answer = await t.webhook("stripe", { id: "evt_9", type: "charge.refunded", data: { object } });
  expect(answer.status).toBe(409);
  expect(answer.body).toContain("insufficient_funds");
  expect(await wallet(t, ana.id)).toBe(100);
});
