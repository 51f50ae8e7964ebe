import { test, expect, type Client, type World } from "galley/test";

const codes = (results: ({ code?: string } | void)[]) => results.map((r) => r?.code ?? "ok").sort();

/** A board of ana's with a list, and bo who may edit it. */
async function begin(t: World) {
  const [ana, bo] = [await t.user({ name: "Ana" }), await t.user({ name: "Bo" })];
  const board = (await ana.boards.create({ name: "Garden" })).id;
  const list = (await ana.lists.create({ board, name: "To do", position: 0 })).id;
  await ana.actions.invite({ board, email: bo.email, role: "editor" });
  return { ana, bo, board, list };
}

/** The titles of a list's cards, from top to bottom. */
const titles = async (who: Client, list: string) =>
  (await who.cards.list({ where: { list }, sort: "position", limit: 500 })).items.map((c) => c.title);

const role = async (t: World, board: string, who: Client) =>
  (await t.db.members.first({ board, user: who.id }))!;

test("whoever makes a board owns it, and nobody else sees it", async (t) => {
  const { board, list, bo } = await begin(t);
  const cleo = await t.user({ name: "Cleo" });
  expect((await bo.boards.get(board)).name).toBe("Garden");
  await expect(cleo.boards.get(board)).rejects.toThrow("not_found");
  await expect(t.visitor.boards.get(board)).rejects.toThrow("not_found");
  expect((await cleo.members.list()).items).toEqual([]);
  await expect(cleo.cards.create({ list, title: "Hello", position: 0 })).rejects.toThrow("forbidden");
});

test("people on a board know each other's names, not their addresses", async (t) => {
  const { ana, bo } = await begin(t);
  const cleo = await t.user({ name: "Cleo" });
  expect((await bo.users.get(ana.id)).name).toBe("Ana");
  expect((await bo.users.get(ana.id)).email).toBeUndefined();
  await expect(cleo.users.get(ana.id)).rejects.toThrow("not_found");
});

test("owners alone invite, people who have signed up, once", async (t) => {
  const { ana, bo, board } = await begin(t);
  const cleo = await t.user({ name: "Cleo" });
  const invite = { board, email: cleo.email, role: "viewer" } as const;
  await expect(bo.actions.invite(invite)).rejects.toThrow("forbidden");
  await expect(ana.actions.invite({ ...invite, email: "nobody@example.com" })).rejects.toThrow("not_signed_up");
  const results = await t.together(ana.actions.invite(invite), ana.actions.invite(invite));
  expect(codes(results)).toEqual(["already_member", "ok"]);
  await expect(cleo.request("POST", "/api/members", { board, user: cleo.id, role: "owner" })).rejects.toThrow();
});

test("who may look may not touch", async (t) => {
  const { ana, board, list } = await begin(t);
  const cleo = await t.user({ name: "Cleo" });
  await ana.actions.invite({ board, email: cleo.email, role: "viewer" });
  const card = await ana.cards.create({ list, title: "Dig", position: 0 });
  expect(await titles(cleo, list)).toEqual(["Dig"]);
  await expect(cleo.cards.update(card.id, { position: 1 })).rejects.toThrow("forbidden");
  await expect(cleo.cards.delete(card.id)).rejects.toThrow("forbidden");
  await expect(cleo.lists.create({ board, name: "Mine", position: 0 })).rejects.toThrow("forbidden");
  await expect(cleo.members.update((await role(t, board, cleo)).id, { role: "owner" })).rejects.toThrow("forbidden");
});

test("a board keeps an owner", async (t) => {
  const { ana, bo, board } = await begin(t);
  const mine = await role(t, board, ana);
  await expect(ana.members.update(mine.id, { role: "viewer" })).rejects.toThrow("last_owner");
  await expect(ana.members.delete(mine.id)).rejects.toThrow("last_owner");
  await expect(t.db.members.delete(mine.id)).rejects.toThrow("last_owner");
  await ana.members.update((await role(t, board, bo)).id, { role: "owner" });
  await ana.members.delete(mine.id);
  await expect(ana.boards.get(board)).rejects.toThrow("not_found");
});

test("two owners who leave at once do not leave a board alone", async (t) => {
  const { ana, bo, board } = await begin(t);
  const [mine, his] = [await role(t, board, ana), await role(t, board, bo)];
  await ana.members.update(his.id, { role: "owner" });
  const results = await t.together(ana.members.delete(mine.id), bo.members.delete(his.id));
  expect(codes(results)).toEqual(["last_owner", "ok"]);
  expect(await t.db.members.count({ board, role: "owner" })).toBe(1);
});

test("a card moves to another board only with the right on both", async (t) => {
  const { ana, bo, list } = await begin(t);
  const other = (await ana.boards.create({ name: "House" })).id;
  const there = (await ana.lists.create({ board: other, name: "To do", position: 0 })).id;
  const card = (await bo.cards.create({ list, title: "Paint", position: 0 })).id;
  await expect(bo.cards.update(card, { list: there })).rejects.toThrow("forbidden");
  await ana.actions.invite({ board: other, email: bo.email, role: "viewer" });
  await expect(bo.cards.update(card, { list: there })).rejects.toThrow("forbidden");
  await ana.members.update((await role(t, other, bo)).id, { role: "editor" });
  await bo.cards.update(card, { list: there });
  expect(await titles(ana, there)).toEqual(["Paint"]);
  await ana.members.delete((await role(t, other, bo)).id);
  await expect(bo.cards.update(card, { list })).rejects.toThrow("not_found");
});

test("nobody is the author of another's card, and a list stays on its board", async (t) => {
  const { ana, bo, list } = await begin(t);
  await expect(bo.request("POST", "/api/cards", { list, title: "As Ana", position: 0, author: ana.id }, { key: "k" }))
    .rejects.toThrow("invalid_input");
  const other = (await bo.boards.create({ name: "Bo's" })).id;
  await expect(bo.request("PATCH", "/api/lists/" + list, { board: other })).rejects.toThrow("invalid_input");
});

test("a card is given to people of its board, who leave it when they leave", async (t) => {
  const { ana, bo, board, list } = await begin(t);
  const cleo = await t.user({ name: "Cleo" });
  const card = (await ana.cards.create({ list, title: "Weed", position: 0, assignee: bo.id })).id;
  await expect(ana.cards.update(card, { assignee: cleo.id })).rejects.toThrow("not_a_member");
  await ana.members.delete((await role(t, board, bo)).id);
  expect((await ana.cards.get(card)).assignee ?? null).toBeNull();
});

test("cards find room for as long as anybody puts one between two others", async (t) => {
  const { ana, list } = await begin(t);
  await ana.cards.create({ list, title: "top", position: 1024 });
  await ana.cards.create({ list, title: "bottom", position: 2048 });
  for (let i = 0; i < 60; i++) {
    const { items } = await ana.cards.list({ where: { list }, sort: "position" });
    await ana.cards.create({ list, title: String(i), position: (items[0]!.position + items[1]!.position) / 2 });
  }
  const newest = Array.from({ length: 60 }, (_, i) => String(59 - i));
  expect(await titles(ana, list)).toEqual(["top", ...newest, "bottom"]);
});

test("cards that two people put into the same place stand one below the other", async (t) => {
  const { ana, bo, list } = await begin(t);
  await ana.cards.create({ list, title: "top", position: 1024 });
  await ana.cards.create({ list, title: "bottom", position: 2048 });
  await t.together(
    ana.cards.create({ list, title: "hers", position: 1536 }),
    bo.cards.create({ list, title: "his", position: 1536 }));
  const { items } = await ana.cards.list({ where: { list }, sort: "position" });
  expect(new Set(items.map((c) => c.position)).size).toBe(4);
  expect([items[0]!.title, items[3]!.title]).toEqual(["top", "bottom"]);
});

test("cards at the end of all places find room as well", async (t) => {
  const { ana, list } = await begin(t);
  for (const title of ["a", "b", "c"]) await ana.cards.create({ list, title, position: 1e12 });
  const { items } = await ana.cards.list({ where: { list }, sort: "position" });
  expect(items[1]!.position - items[0]!.position).toBeGreaterThan(1);
  expect(items[2]!.position - items[1]!.position).toBeGreaterThan(1);
  await expect(ana.cards.create({ list, title: "beyond", position: 1e13 })).rejects.toThrow("invalid_input");
});

test("lists find room too", async (t) => {
  const { ana, board } = await begin(t);
  for (const name of ["Doing", "Done"]) await ana.lists.create({ board, name, position: 0 });
  const { items } = await ana.lists.list({ where: { board }, sort: "position" });
  expect(new Set(items.map((l) => l.position)).size).toBe(3);
});

test("a board takes everything on it along", async (t) => {
  const { ana, bo, board, list } = await begin(t);
  await bo.cards.create({ list, title: "Gone", position: 0, assignee: bo.id });
  await expect(bo.boards.delete(board)).rejects.toThrow("forbidden");
  await ana.boards.delete(board);
  expect([await t.db.members.count(), await t.db.lists.count(), await t.db.cards.count()]).toEqual([0, 0, 0]);
});

test("a board holds 300 cards in 100 lists", async (t) => {
  const { ana, board, list } = await begin(t);
  for (let i = 1; i < 100; i++) await t.db.lists.insert({ board, name: "L" + i, position: i * 1024 });
  await expect(ana.lists.create({ board, name: "One more", position: -1024 })).rejects.toThrow("board_full");
  for (let i = 0; i < 300; i++) await t.db.cards.insert({ list, title: "C" + i, position: i * 1024, author: ana.id });
  await expect(ana.cards.create({ list, title: "One more", position: -1024 })).rejects.toThrow("board_full");
  const [first, second] = (await ana.cards.list({ where: { list }, sort: "position", limit: 2 })).items;
  await ana.cards.update(first!.id, { position: second!.position });
  const all = (await ana.cards.list({ where: { list }, sort: "position", limit: 500 })).items;
  expect(all.map((c) => c.title).slice(2)).toEqual(Array.from({ length: 298 }, (_, i) => "C" + (i + 2)));
});
