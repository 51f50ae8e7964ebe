import { test, expect, type Client, type World } from "galley/test";

const codes = (results: ({ code?: string } | void)[]) => results.map((r) => r?.code ?? "ok").sort();
const island = { name: "Islander", rows: 4, cabin: "A B" };

/** Two islands, a small plane between them, and its next flight. */
async function begin(t: World, { agents = 0, price = 2000, plane = island } = {}) {
  const at = { country: "United Kingdom", lat: 59.35 };
  const from = (await t.db.airports.insert({ code: "WRY", name: "Westray", city: "Westray", lon: -2.95, ...at })).id;
  const to = (await t.db.airports.insert({ code: "PPW", name: "Papa Westray", city: "Papa Westray", lon: -2.9, ...at })).id;
  const made = (await t.db.planes.insert(plane)).id;
  const connection = (await t.db.connections.insert({ number: "GA 100", from, to, plane: made, leaves: "11:00", price, agents })).id;
  return { connection, flight: (await t.db.flights.first({ connection }))!.id };
}

const left = async (t: World, flight: string) => (await t.db.flights.get(flight)).left;
const free = (who: Client, flight: string, seat: string) => who.actions.hold({ flight, seat });

/** What is left of a flight is what is not taken. */
async function counted(t: World, flight: string, seats = 8) {
  expect(await left(t, flight)).toBe(seats - (await t.db.seats.count({ flight })));
}

test("two who want the last seat: one has it, the other is told", async (t) => {
  const { flight } = await begin(t, { agents: 7 });
  const [ana, bo] = [await t.user({ name: "Ana" }), await t.user({ name: "Bo" })];
  const taken = (await t.db.seats.list({ where: { flight } })).map((s) => s.seat);
  const seat = ["1A", "1B", "2A", "2B", "3A", "3B", "4A", "4B"].find((s) => !taken.includes(s))!;
  const results = await t.together(free(ana, flight, seat), free(bo, flight, seat));
  expect(codes(results)).toEqual(["ok", "seat_taken"]);
  expect(await left(t, flight)).toBe(0);
});

test("a crowd on one plane gets each seat once", async (t) => {
  const { flight } = await begin(t);
  const crowd = [];
  for (let i = 0; i < 12; i++) crowd.push(await t.user({ name: "P" + i }));
  await t.together(...crowd.flatMap((c, i) => [free(c, flight, `${(i % 4) + 1}A`), free(c, flight, `${(i % 4) + 1}B`)]));
  await t.together(...crowd.map((c) => c.actions.pay({ flight })));
  const sold = (await t.db.bookings.list({ where: { flight } })).flatMap((b) => b.seats);
  expect(sold.sort()).toEqual(["1A", "1B", "2A", "2B", "3A", "3B", "4A", "4B"]);
  await counted(t, flight);
  const wallets = (await t.db.users.list()).reduce((sum, u) => sum + u.wallet, 0);
  expect(wallets).toBe(12 * 100000 - 8 * 2000);
});

test("a seat that is not paid for is free again after five minutes", async (t) => {
  const { flight } = await begin(t);
  const [ana, bo] = [await t.user({ name: "Ana" }), await t.user({ name: "Bo" })];
  await free(ana, flight, "2B");
  await expect(free(bo, flight, "2B")).rejects.toThrow("seat_taken");
  await t.advance("4m");
  expect(await left(t, flight)).toBe(7);
  await t.advance("2m");
  expect(await left(t, flight)).toBe(8);
  await expect(ana.actions.pay({ flight })).rejects.toThrow("not_held");
  await free(bo, flight, "2B");
  await counted(t, flight);
});

test("what was paid for stays, whatever time passes", async (t) => {
  const { flight } = await begin(t);
  const ana = await t.user({ name: "Ana", email: "ana@example.com" });
  await free(ana, flight, "1A");
  await free(ana, flight, "1B");
  expect(await ana.actions.pay({ flight })).toMatchObject({ balance: 96000 });
  await t.advance("1h");
  expect(await t.db.seats.count({ flight })).toBe(2);
  await expect(ana.actions.release({ flight, seat: "1A" })).rejects.toThrow("not_held");
  const seat = (await t.db.seats.first({ flight, seat: "1A" }))!;
  await expect(t.db.seats.delete(seat.id)).rejects.toThrow("sold_for_good");
  await expect(t.db.seats.update(seat.id, { until: t.now })).rejects.toThrow("sold_for_good");
  expect(await t.mail.last()).toMatchObject({ to: "ana@example.com", subject: "Your seats 1A, 1B" });
  await counted(t, flight);
});

test("a wallet is never negative, and then nothing is sold", async (t) => {
  const { flight } = await begin(t, { price: 60000 });
  const ana = await t.user({ name: "Ana" });
  for (const seat of ["1A", "1B"]) await free(ana, flight, seat);
  await expect(ana.actions.pay({ flight })).rejects.toThrow("insufficient_funds");
  expect((await t.db.users.get(ana.id)).wallet).toBe(100000);
  expect(await t.db.bookings.count()).toBe(0);
  await ana.actions.release({ flight, seat: "1B" });
  expect((await ana.actions.pay({ flight })).balance).toBe(40000);
});

test("who pays twice at once pays once", async (t) => {
  const { flight } = await begin(t);
  const ana = await t.user({ name: "Ana" });
  await free(ana, flight, "1A");
  const results = await t.together(ana.actions.pay({ flight }), ana.actions.pay({ flight }));
  expect(codes(results)).toEqual(["not_held", "ok"]);
  expect((await t.db.users.get(ana.id)).wallet).toBe(98000);
});

test("nobody sees who sits where, but where he sits himself", async (t) => {
  const { flight } = await begin(t);
  const [ana, bo] = [await t.user({ name: "Ana" }), await t.user({ name: "Bo" })];
  await free(ana, flight, "3A");
  const seen = async (who: Client) => (await who.seats.list({ where: { flight } })).items[0]!;
  expect((await seen(ana)).user).toBe(ana.id);
  expect((await seen(bo)).seat).toBe("3A");
  expect((await seen(bo)).user).toBeUndefined();
  expect((await seen(t.visitor)).user).toBeUndefined();
  await expect(bo.actions.release({ flight, seat: "3A" })).rejects.toThrow("not_held");
  await ana.actions.pay({ flight });
  expect((await bo.bookings.list()).items).toEqual([]);
});

test("seats, prices and wallets cannot be made up", async (t) => {
  const { flight } = await begin(t);
  const ana = await t.user({ name: "Ana" });
  await expect(free(ana, flight, "5A")).rejects.toThrow("no_such_seat");
  await expect(free(ana, flight, "1C")).rejects.toThrow("no_such_seat");
  await expect(free(t.visitor, flight, "1A")).rejects.toThrow("unauthenticated");
  await expect(ana.request("PATCH", "/api/users/" + ana.id, { wallet: 1e9 })).rejects.toThrow("invalid_input");
  await expect(ana.request("PATCH", "/api/flights/" + flight, { price: 1 })).rejects.toThrow();
  await expect(ana.request("POST", "/api/seats", { flight, seat: "1A" }, { key: "k" })).rejects.toThrow();
});

test("one person holds six seats at most", async (t) => {
  const { flight } = await begin(t);
  const ana = await t.user({ name: "Ana" });
  for (const seat of ["1A", "1B", "2A", "2B", "3A", "3B"]) await free(ana, flight, seat);
  await expect(free(ana, flight, "4A")).rejects.toThrow("too_many");
});

test("a flight that has left takes nobody along", async (t) => {
  const { flight } = await begin(t);
  const ana = await t.user({ name: "Ana" });
  await t.advance("1h58m");
  await free(ana, flight, "1A");
  await t.advance("3m");
  await expect(free(ana, flight, "1B")).rejects.toThrow("departed");
  await expect(ana.actions.pay({ flight })).rejects.toThrow("departed");
});

test("the timetable goes on day by day, and makes no flight twice", async (t) => {
  const { connection } = await begin(t, { agents: 3 });
  expect(await t.db.flights.count({ connection })).toBe(2);
  await t.advance("16h");
  expect(await t.db.flights.count({ connection })).toBe(3);
  await t.advance("24h");
  expect(await t.db.flights.count({ connection })).toBe(4);
  for (const flight of await t.db.flights.list({ where: { connection } })) {
    expect(flight.left).toBe(5);
    await counted(t, flight.id);
  }
});
