import { test, expect, type Client, type World } from "galley/test";

const codes = (results: ({ code?: string } | void)[]) => results.map((r) => r?.code ?? "ok").sort();

/** A room of ana's, and bo who is in it too. */
async function begin(t: World) {
  const [ana, bo] = [await t.user({ name: "Ana" }), await t.user({ name: "Bo" })];
  const room = (await ana.rooms.create({ name: "Quay" })).id;
  await bo.members.create({ room });
  return { ana, bo, room };
}

const mine = async (who: Client, room: string) =>
  (await who.members.list({ where: { room, user: who.id } })).items[0]!;

/** How much in a room somebody has not seen yet. */
const unread = async (who: Client, room: string) =>
  (await who.rooms.get(room)).sent - (await mine(who, room)).seen;

test("a message reaches those who are in the room, and nobody else", async (t) => {
  const { ana, bo, room } = await begin(t);
  const cleo = await t.user({ name: "Cleo" });
  const { id } = await ana.messages.create({ room, text: "The ferry is late." });
  expect(await bo.messages.get(id)).toMatchObject({ author: ana.id, text: "The ferry is late.", number: 1 });
  await expect(cleo.messages.get(id)).rejects.toThrow("not_found");
  expect((await cleo.messages.list()).items).toEqual([]);
  await expect(cleo.messages.create({ room, text: "Hello?" })).rejects.toThrow("forbidden");
  await expect(t.visitor.rooms.get(room)).rejects.toThrow("not_found");
});

test("whoever comes in reads what was said before, and has nothing unread", async (t) => {
  const { ana, room } = await begin(t);
  for (const text of ["one", "two"]) await ana.messages.create({ room, text });
  const cleo = await t.user({ name: "Cleo" });
  await cleo.members.create({ room });
  expect((await cleo.messages.list()).items).toHaveLength(2);
  expect(await unread(cleo, room)).toBe(0);
});

test("what others write is unread until it was seen, and never what one wrote oneself", async (t) => {
  const { ana, bo, room } = await begin(t);
  for (const text of ["one", "two", "three"]) await ana.messages.create({ room, text });
  expect([await unread(ana, room), await unread(bo, room)]).toEqual([0, 3]);
  await bo.members.update((await mine(bo, room)).id, { seen: 2 });
  expect(await unread(bo, room)).toBe(1);
  await bo.messages.create({ room, text: "four" });
  expect([await unread(ana, room), await unread(bo, room)]).toEqual([1, 0]);
});

test("messages of many at once are numbered without a gap, and all counted", async (t) => {
  const { ana, room } = await begin(t);
  const crowd = [];
  for (let i = 0; i < 8; i++) crowd.push(await t.user({ name: "C" + i }));
  for (const one of crowd) await one.members.create({ room });
  await t.together(...crowd.flatMap((c) => ["a", "b"].map((text) => c.messages.create({ room, text }))));
  const { items } = await ana.messages.list({ sort: "number" });
  expect(items.map((m) => m.number)).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
  expect(await unread(ana, room)).toBe(16);
  for (const one of crowd) expect(await unread(one, room)).toBeLessThan(16);
});

test("a message that was sent twice with one key is one", async (t) => {
  const { ana, bo, room } = await begin(t);
  const send = () => ana.request("POST", "/api/messages", { room, text: "Once." }, { key: "k" });
  await send();
  await send();
  expect((await bo.messages.list()).items).toHaveLength(1);
  expect(await unread(bo, room)).toBe(1);
});

test("numbers, authors and counts cannot be made up", async (t) => {
  const { ana, bo, room } = await begin(t);
  const { id } = await ana.messages.create({ room, text: "Mine." });
  const send = (path: string, body: object) => bo.request("POST", path, body, { key: path });
  await expect(send("/api/messages", { room, text: "x", number: 9 })).rejects.toThrow("invalid_input");
  await expect(send("/api/messages", { room, text: "x", author: ana.id })).rejects.toThrow("invalid_input");
  await expect(send("/api/members", { room, user: ana.id })).rejects.toThrow("invalid_input");
  await expect(bo.request("PATCH", "/api/rooms/" + room, { sent: 0 })).rejects.toThrow();
  await expect(bo.request("PATCH", "/api/messages/" + id, { text: "Changed" })).rejects.toThrow();
  await expect(ana.messages.create({ room, text: " \n " })).rejects.toThrow("empty_message");
});

test("nobody has seen what is not written, nor forgets what he saw", async (t) => {
  const { ana, bo, room } = await begin(t);
  for (const text of ["one", "two"]) await ana.messages.create({ room, text });
  const { id } = await mine(bo, room);
  await expect(bo.members.update(id, { seen: 3 })).rejects.toThrow("not_written_yet");
  await bo.members.update(id, { seen: 2 });
  await expect(bo.members.update(id, { seen: 1 })).rejects.toThrow("unread_again");
  await expect(ana.members.update(id, { seen: 2 })).rejects.toThrow("forbidden");
});

test("a message that was taken back is read by nobody, and stays counted", async (t) => {
  const { ana, bo, room } = await begin(t);
  const { id } = await ana.messages.create({ room, text: "Oh no." });
  await expect(bo.messages.update(id, { gone: true })).rejects.toThrow("forbidden");
  await ana.messages.update(id, { gone: true });
  for (const who of [ana, bo]) expect((await who.messages.get(id)).text).toBeUndefined();
  expect(await unread(bo, room)).toBe(1);
  await expect(ana.messages.update(id, { gone: false })).rejects.toThrow("gone_for_good");
});

test("who leaves hears nothing more, and comes in once at a time", async (t) => {
  const { ana, bo, room } = await begin(t);
  await expect(bo.members.create({ room })).rejects.toThrow("already_exists");
  await expect(ana.members.delete((await mine(bo, room)).id)).rejects.toThrow("forbidden");
  await bo.members.delete((await mine(bo, room)).id);
  await ana.messages.create({ room, text: "Is he gone?" });
  expect((await bo.messages.list()).items).toEqual([]);
  expect(codes(await t.together(bo.members.create({ room }), bo.members.create({ room }))))
    .toEqual(["already_exists", "ok"]);
});

test("history is read upward, page by page, while others write", async (t) => {
  const { ana, bo, room } = await begin(t);
  for (let i = 1; i <= 25; i++) await ana.messages.create({ room, text: "m" + i });
  const read: number[] = [];
  let cursor = "";
  do {
    const page = await bo.request("GET", `/api/messages?room=${room}&sort=-number&limit=10${cursor}`);
    read.push(...page.items.map((m: { number: number }) => m.number));
    cursor = page.next && "&cursor=" + encodeURIComponent(page.next);
    await ana.messages.create({ room, text: "meanwhile" });
  } while (cursor);
  expect(read).toEqual(Array.from({ length: 25 }, (_, i) => 25 - i));
});

test("two rooms have two names", async (t) => {
  const { bo } = await begin(t);
  await expect(bo.rooms.create({ name: "Quay" })).rejects.toThrow("already_exists");
  await expect(bo.rooms.create({ name: "   " })).rejects.toThrow();
});
