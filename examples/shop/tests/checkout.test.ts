import { expect, test, type World } from "galley/test";

const lamp = (t: World, stock: number) =>
  t.db.products.insert({ code: "L1", name: "LAMP", price: 1000, stock, listed: true });

test("two buyers, one lamp", async (t) => {
  const { id: product } = await lamp(t, 1);
  const [ana, bo] = [await t.user({ name: "Ana", wallet: 5000 }), await t.user({ name: "Bo", wallet: 5000 })];
  const items = [{ product, quantity: 1 }];
  const results = await t.together(ana.actions.checkout({ items }), bo.actions.checkout({ items }));
  expect(results.map((r) => r.code ?? "ok").sort()).toEqual(["ok", "out_of_stock"]);
  expect(await t.db.users.count({ wallet: 4000 })).toBe(1);
});

test("one key is one order, with one receipt", async (t) => {
  const { id: product } = await lamp(t, 10);
  const ana = await t.user({ name: "Ana <3", wallet: 5000 });
  const order = { items: [{ product, quantity: 2 }] };
  const first = await ana.actions.checkout(order, { key: "once" });
  expect(await ana.actions.checkout(order, { key: "once" })).toEqual(first);
  await t.settle();
  const mails = await t.mail.list();
  expect(mails).toHaveLength(1);
  expect(mails[0]).toMatchObject({ to: ana.email, subject: "Your order of 20.00 GBP" });
  expect(mails[0].html).toContain("Ana &lt;3");
});

test("a refused order takes nothing and sends nothing", async (t) => {
  const { id: product } = await lamp(t, 10);
  const ana = await t.user({ name: "Ana", wallet: 999 });
  await expect(ana.actions.checkout({ items: [{ product, quantity: 1 }] })).rejects.toThrow(
    "insufficient_funds",
  );
  await t.settle();
  expect(await t.mail.list()).toHaveLength(0);
  expect((await t.db.products.get(product)).stock).toBe(10);
});

test("a discount ends, and is used up", async (t) => {
  const { id: product } = await lamp(t, 10);
  const ana = await t.user({ name: "Ana", wallet: 10000 });
  await t.db.discounts.insert({ code: "HALF", percent: 50, limit: 1 });
  const expires = new Date(t.now.getTime() + 3600_000);
  await t.db.discounts.insert({ code: "HAPPYHOUR", percent: 10, limit: 9, expires });
  const items = [{ product, quantity: 1 }];
  expect((await ana.actions.checkout({ items, code: "HALF" })).balance).toBe(9500);
  await expect(ana.actions.checkout({ items, code: "HALF" })).rejects.toThrow("discount_used_up");
  expect((await ana.actions.checkout({ items, code: "HAPPYHOUR" })).balance).toBe(8600);
  await t.advance("61m");
  await expect(ana.actions.checkout({ items, code: "HAPPYHOUR" })).rejects.toThrow(
    "discount_invalid",
  );
});

test("what sells best is counted once in five minutes", async (t) => {
  const { id: product } = await lamp(t, 10);
  const ana = await t.user({ name: "Ana", wallet: 10000 });
  expect((await t.visitor.top_products.list()).items).toEqual([]);
  await ana.actions.checkout({ items: [{ product, quantity: 3 }] });
  expect((await t.visitor.top_products.list()).items).toEqual([]);
  await t.advance("16m");
  expect((await t.visitor.top_products.list()).items).toMatchObject([{ product, sold: 3 }]);
});
