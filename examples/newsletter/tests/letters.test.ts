import { test, expect, type World, type Mail } from "galley/test";

const ana = "ana@example.com";

/** Subscribes an address, and returns what stands behind the link that came. */
async function asked(t: World, email = ana): Promise<string> {
  await t.visitor.actions.subscribe({ email });
  await t.settle();
  const mail = await t.mail.last(email);
  const path = await t.mail.click(mail!.links[0]!);
  return path.replace("/#/confirm/", "");
}

/** A reader who wants letters and has said so twice. */
async function reader(t: World, email = ana) {
  await t.visitor.actions.confirm({ token: await asked(t, email) });
}

/** Publishes a letter. */
async function publish(t: World, title: string) {
  const editor = await t.user({ editor: true, email: title.toLowerCase() + "@desk.example" });
  const letter = await editor.letters.create({ title, body: "Look up.\n\nTonight." });
  await editor.actions.publish({ letter: letter.id });
  await t.settle();
  return letter.id;
}

const got = async (t: World, email = ana) => (await t.mail.list(email)).map((m: Mail) => m.subject);

test("an address gets letters only after a click in a mail sent to it", async (t) => {
  const token = await asked(t);
  await publish(t, "First");
  expect(await got(t)).toEqual(["Please confirm your address"]);
  expect(await t.visitor.actions.confirm({ token })).toEqual({ email: ana });
  await publish(t, "Second");
  expect(await got(t)).toEqual(["Please confirm your address", "Second"]);
  const { text, html } = (await t.mail.last(ana))!;
  expect(text).toContain("Look up.");
  expect(html).toContain("<h1>Second</h1>");
});

test("the link works twice, and none other does", async (t) => {
  const token = await asked(t);
  await t.visitor.actions.confirm({ token });
  await t.visitor.actions.confirm({ token });
  await expect(t.visitor.actions.confirm({ token: token.slice(0, -3) + "AAA" })).rejects.toThrow("link_invalid");
  await expect(t.visitor.actions.confirm({ token: "" })).rejects.toThrow("link_invalid");
});

test("the link ends after a week, and with it what is known of the address", async (t) => {
  const token = await asked(t);
  await t.advance("8d");
  await expect(t.visitor.actions.confirm({ token })).rejects.toThrow("link_invalid");
  expect(await t.db.users.count({ email: ana })).toBe(0);
  await reader(t);
  await t.advance("30d");
  expect(await t.db.users.count({ email: ana })).toBe(1);
});

test("nobody can fill a mailbox by asking for somebody else", async (t) => {
  for (let i = 0; i < 5; i++) await t.visitor.actions.subscribe({ email: ana });
  await t.advance("10m");
  await t.visitor.actions.subscribe({ email: ana });
  await t.settle();
  expect(await t.mail.list(ana)).toHaveLength(1);
  await t.advance("1h");
  await t.visitor.actions.subscribe({ email: ana });
  await t.settle();
  expect(await t.mail.list(ana)).toHaveLength(2);
});

test("two who ask for one address at once make one reader", async (t) => {
  await t.together(
    t.visitor.actions.subscribe({ email: ana }), t.visitor.actions.subscribe({ email: ana }));
  await t.settle();
  expect(await t.db.users.count()).toBe(1);
  expect(await t.mail.list(ana)).toHaveLength(1);
});

test("the answer does not tell who is on the list", async (t) => {
  await reader(t);
  await t.advance("2h");
  expect(await t.visitor.actions.subscribe({ email: ana })).toBeUndefined();
  expect(await t.visitor.actions.subscribe({ email: "bo@example.com" })).toBeUndefined();
  await t.settle();
  expect(await got(t)).toEqual(["Please confirm your address", "You are on the list"]);
  await expect(t.visitor.users.list()).resolves.toMatchObject({ items: [] });
});

test("a letter goes out once, and stays as it is", async (t) => {
  await reader(t);
  const id = await publish(t, "Orion");
  const editor = await t.user({ editor: true });
  await expect(editor.actions.publish({ letter: id })).rejects.toThrow("published");
  await expect(editor.letters.update(id, { title: "Not Orion" })).rejects.toThrow("forbidden");
  await t.advance("1h");
  expect((await got(t)).filter((s) => s === "Orion")).toHaveLength(1);
});

test("drafts are the editor's alone", async (t) => {
  const editor = await t.user({ editor: true });
  const someone = await t.user();
  const draft = await editor.letters.create({ title: "Draft", body: "…" });
  await expect(someone.letters.get(draft.id)).rejects.toThrow("not_found");
  await expect(t.visitor.letters.get(draft.id)).rejects.toThrow("not_found");
  await expect(someone.letters.create({ title: "Mine", body: "…" })).rejects.toThrow("forbidden");
  await expect(someone.actions.publish({ letter: draft.id })).rejects.toThrow("forbidden");
  await expect(editor.request("PATCH", "/api/letters/" + draft.id, { published: t.now }))
    .rejects.toThrow("invalid_input");
});

test("who unsubscribes gets no letter, and may come back", async (t) => {
  await reader(t);
  await publish(t, "First");
  await t.mail.unsubscribe((await t.mail.last(ana))!);
  await publish(t, "Second");
  expect(await got(t)).toEqual(["Please confirm your address", "First"]);
  await t.advance("2h");
  await t.visitor.actions.subscribe({ email: ana });
  await t.settle();
  const back = (await t.mail.last(ana))!;
  expect(back.subject).toBe("You are on the list");
  expect(await t.mail.click(back.links[0]!)).toContain("/mail/unsubscribe/");
});

test("where to begin is written every other Sunday, until a click", async (t) => {
  await reader(t);
  await t.advance("7d"); // 5 January 2026 is a Monday
  expect(await got(t)).toEqual(["Please confirm your address", "Where to begin"]);
  await t.advance("7d");
  expect(await got(t)).toHaveLength(2);
  await t.advance("7d");
  expect(await got(t)).toHaveLength(3);
  const path = await t.mail.click((await t.mail.last(ana))!.links[0]!);
  expect(path).toBe("/#/archive");
  for (let week = 0; week < 4; week++) await t.advance("7d");
  expect(await got(t)).toHaveLength(3);
  await publish(t, "Pleiades");
  expect(await got(t)).toContain("Pleiades");
});

test("a link that was not in the mail leads nowhere", async (t) => {
  await reader(t);
  await t.advance("7d");
  const link = (await t.mail.last(ana))!.links[0]!;
  await expect(t.mail.click(link.replace(/to=.*/, "to=" + encodeURIComponent("https://evil.example/"))))
    .rejects.toMatchObject({ status: 404 });
});
