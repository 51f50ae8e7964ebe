import { expect, test } from "galley/test";

test("shipping rates come through the shop, with its key, once in ten minutes", async (t) => {
  const asked: string[] = [];
  t.host("http://127.0.0.1:4242", (request) => {
    asked.push(request.headers.authorization);
    return { json: { rates: [{ service: "post", amount: 395 }] } };
  });
  const ana = await t.user({ name: "Ana" });
  for (let i = 0; i < 3; i++) {
    const { rates } = await ana.request("GET", "/api/proxy/shipping/rates?to=DE&grams=500");
    expect(rates).toEqual([{ service: "post", amount: 395 }]);
  }
  expect(asked).toHaveLength(1);
  expect(asked[0]).toMatch(/^Bearer ./);
  await expect(ana.request("GET", "/api/proxy/shipping/labels")).rejects.toThrow("not_found");
  await expect(t.visitor.request("GET", "/api/proxy/shipping/rates?to=FR")).rejects.toThrow(
    "unauthenticated",
  );
});

test("deals come at most every other week, and no more after a click", async (t) => {
  const ana = await t.user({ name: "Ana", deals: true });
  await t.user({ name: "Bo", deals: false });
  await t.user({ name: "Cleo", deals: true, verified: false });
  await t.advance("7d");
  await t.advance("7d");
  const mails = await t.mail.list();
  expect(mails.map((m) => m.to)).toEqual([ana.email]);
  await t.advance("7d");
  expect(await t.mail.list(ana.email)).toHaveLength(2);

  const link = mails[0].links.find((l) => !l.includes("unsubscribe"))!;
  await t.visitor.request("GET", link.replace(/^https?:\/\/[^/]+/, "")).catch(() => null);
  for (let i = 0; i < 4; i++) await t.advance("7d");
  expect(await t.mail.list(ana.email)).toHaveLength(2);
});
