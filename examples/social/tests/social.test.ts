import { test, expect, type World, type Client } from "galley/test";

/** A neighbour with a handle. */
const named = (t: World, handle: string) => t.user({ handle, name: handle.toUpperCase() });
const told = async (who: Client) =>
  (await who.notifications.list({ sort: "-created" })).items.map((n) => n.kind);

test("a like tells the author, and nobody else", async (t) => {
  const [ana, bo, cleo] = [await named(t, "ana"), await named(t, "bo"), await named(t, "cleo")];
  const post = await ana.posts.create({ text: "The ice holds." });
  await bo.likes.create({ post: post.id });
  expect((await ana.notifications.list()).items).toMatchObject([
    { from: bo.id, kind: "like", post: post.id, seen: false },
  ]);
  expect(await told(bo)).toEqual([]);
  expect(await told(cleo)).toEqual([]);
  expect((await t.visitor.posts.get(post.id)).likes).toBe(1);
});

test("nobody is told of what he likes himself", async (t) => {
  const ana = await named(t, "ana");
  const post = await ana.posts.create({ text: "Mine." });
  await ana.likes.create({ post: post.id });
  expect(await told(ana)).toEqual([]);
});

test("two likes at once are one like, and one is counted", async (t) => {
  const [ana, bo] = [await named(t, "ana"), await named(t, "bo")];
  const post = await ana.posts.create({ text: "Twice?" });
  const results = await t.together(
    bo.likes.create({ post: post.id }), bo.likes.create({ post: post.id }));
  expect(results.map((r) => r.code ?? "ok").sort()).toEqual(["already_exists", "ok"]);
  expect((await bo.posts.get(post.id)).likes).toBe(1);
  expect(await told(ana)).toEqual(["like"]);
});

test("likes of many at once are all counted", async (t) => {
  const ana = await named(t, "ana");
  const post = await ana.posts.create({ text: "Everybody!" });
  const crowd = await Promise.all([..."bcdefghijk"].map((c) => named(t, c + c)));
  await t.together(...crowd.map((c) => c.likes.create({ post: post.id })));
  expect((await ana.posts.get(post.id)).likes).toBe(10);
  expect(await told(ana)).toHaveLength(10);
});

test("a like that is taken back is told no more, unless it was seen", async (t) => {
  const [ana, bo] = [await named(t, "ana"), await named(t, "bo")];
  const post = await ana.posts.create({ text: "Hm." });
  await bo.likes.delete((await bo.likes.create({ post: post.id })).id);
  expect(await told(ana)).toEqual([]);
  const like = await bo.likes.create({ post: post.id });
  expect(await ana.actions.seen_all()).toEqual({ seen: 1 });
  await bo.likes.delete(like.id);
  expect(await told(ana)).toEqual(["like"]);
  expect((await ana.posts.get(post.id)).likes).toBe(0);
});

test("counts, authors and notifications cannot be made up", async (t) => {
  const [ana, bo] = [await named(t, "ana"), await named(t, "bo")];
  const post = await ana.posts.create({ text: "Real." });
  await expect(bo.posts.create({ text: "Famous", likes: 999 })).rejects.toThrow("invalid_input");
  await expect(bo.posts.create({ text: "As ana", author: ana.id })).rejects.toThrow("invalid_input");
  await expect(bo.posts.delete(post.id)).rejects.toThrow("forbidden");
  await expect(bo.request("POST", "/api/notifications", { to: ana.id, from: bo.id, kind: "like" }))
    .rejects.toThrow("forbidden");
  await expect(t.visitor.posts.create({ text: "Hello" })).rejects.toThrow("unauthenticated");
  await expect(ana.posts.create({ text: "  \n " })).rejects.toThrow("empty_post");
});

test("following fills the feed, and nobody follows himself", async (t) => {
  const [ana, bo, cleo] = [await named(t, "ana"), await named(t, "bo"), await named(t, "cleo")];
  const ids: string[] = [];
  for (const [who, text] of [[ana, "one"], [bo, "two"], [cleo, "three"], [bo, "four"]] as const) {
    ids.push((await who.posts.create({ text })).id);
    await t.advance("1m");
  }
  await ana.follows.create({ followed: bo.id });
  const all = [ids[3], ids[1], ids[0]];
  expect((await ana.actions.feed()).posts).toEqual(all);
  const [first] = (await ana.actions.feed({ limit: 1 })).posts;
  expect((await ana.actions.feed({ after: first! })).posts).toEqual(all.slice(1));
  expect(await told(bo)).toEqual(["follow"]);
  await expect(ana.follows.create({ followed: ana.id })).rejects.toThrow("follows_self");
  await expect(ana.follows.create({ followed: bo.id })).rejects.toThrow("already_exists");
});

test("an answer is counted and told, and outlives the post that it answers", async (t) => {
  const [ana, bo] = [await named(t, "ana"), await named(t, "bo")];
  const post = await ana.posts.create({ text: "Who has a ladder?" });
  const reply = await bo.posts.create({ text: "Me.", reply_to: post.id });
  expect((await ana.posts.get(post.id)).replies).toBe(1);
  expect(await told(ana)).toEqual(["reply"]);
  await ana.posts.delete(post.id);
  expect((await bo.posts.get(reply.id)).reply_to).toBeNull();
});

test("a post takes its likes and what was told of them along", async (t) => {
  const [ana, bo] = [await named(t, "ana"), await named(t, "bo")];
  const post = await ana.posts.create({ text: "Gone soon" });
  await bo.likes.create({ post: post.id });
  await ana.posts.delete(post.id);
  expect(await t.db.likes.count()).toBe(0);
  expect(await told(ana)).toEqual([]);
});

test("addresses stay their owners' own", async (t) => {
  const [ana, bo] = [await named(t, "ana"), await named(t, "bo")];
  const seen = await bo.users.get(ana.id);
  expect(seen).toMatchObject({ handle: "ana", name: "ANA" });
  expect(seen.email).toBeUndefined();
  expect(seen.digest).toBeUndefined();
  await expect(bo.users.update(ana.id, { name: "Not ana" })).rejects.toThrow("forbidden");
  await expect(ana.request("PATCH", "/api/users/" + ana.id, { handle: "root" }))
    .rejects.toThrow("invalid_input");
});

test("what was liked most in a week is popular", async (t) => {
  const [ana, bo] = [await named(t, "ana"), await named(t, "bo")];
  const old = await ana.posts.create({ text: "Old" });
  await bo.likes.create({ post: old.id });
  await t.advance("8d");
  const fresh = await ana.posts.create({ text: "New" });
  await bo.likes.create({ post: fresh.id });
  const { items } = await t.visitor.popular.list();
  expect(items).toMatchObject([{ post: fresh.id, likes: 1 }]);
});

test("who leaves something unread is written to, once in a week", async (t) => {
  const ana = await t.user({ handle: "ana", name: "Ana", email: "ana@example.com" });
  const bo = await named(t, "bo");
  const post = await ana.posts.create({ text: "Hello?" });
  await bo.likes.create({ post: post.id });
  await t.advance("1d");
  expect(await t.mail.last()).toMatchObject({ to: "ana@example.com", subject: "While you were away, Ana" });
  await t.advance("3d");
  expect(await t.mail.list()).toHaveLength(1);
  await t.advance("5d");
  expect(await t.mail.list()).toHaveLength(2);
  await ana.actions.seen_all();
  await t.advance("8d");
  expect(await t.mail.list()).toHaveLength(2);
});

test("who wants no digest gets none", async (t) => {
  const [ana, bo] = [await named(t, "ana"), await named(t, "bo")];
  await ana.users.update(ana.id, { digest: false });
  await bo.follows.create({ followed: ana.id });
  await t.advance("14d");
  expect(await t.mail.list()).toEqual([]);
});
