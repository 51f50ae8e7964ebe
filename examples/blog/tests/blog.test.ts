import { test, expect, Problem, type World } from "galley/test";

/** Somebody with a token of the blog's own. */
async function writer(t: World, username: string) {
  const { user } = await t.request("POST", "/api/users",
    { user: { username, email: `${username}@example.com`, password: "a long secret" } });
  return (method: string, path: string, body?: unknown) =>
    t.request(method, path, body, { headers: { authorization: `Token ${user.token}` } });
}

const errors = (call: Promise<unknown>) =>
  call.then(() => "nothing was wrong", (e: Problem) => ({ status: e.status, ...e.body.errors }));

const dragon = { title: "How to train", description: "Ever wonder?", body: "Slowly.", tagList: ["dragons"] };

test("a token says who asks, and a changed one nothing", async (t) => {
  const ana = await writer(t, "ana");
  const { user } = await ana("GET", "/api/user");
  expect(user).toMatchObject({ username: "ana", email: "ana@example.com", bio: null, image: null });
  expect(user.password).toBeUndefined();
  for (const authorization of ["", "Token", "Token x.y.z", `Token ${user.token}x`, `Bearer ${user.token}`]) {
    expect(await errors(t.request("GET", "/api/user", undefined, { headers: { authorization } })))
      .toEqual({ status: 401, token: ["is missing"] });
  }
  await t.advance("61d");
  expect(await errors(ana("GET", "/api/user"))).toEqual({ status: 401, token: ["is missing"] });
});

test("each mistake is told at its field", async (t) => {
  const ana = await writer(t, "ana");
  const user = { username: "ana", email: "b@example.com", password: "a long secret" };
  expect(await errors(t.request("POST", "/api/users", { user })))
    .toEqual({ status: 409, username: ["has already been taken"] });
  expect(await errors(t.request("POST", "/api/users", { user: { ...user, password: " " } })))
    .toEqual({ status: 422, password: ["can't be blank"] });
  expect(await errors(t.request("POST", "/api/users/login", { user: { email: "ana@example.com", password: "x" } })))
    .toEqual({ status: 401, credentials: ["invalid"] });
  expect(await errors(ana("POST", "/api/articles", { article: { ...dragon, title: "" } })))
    .toEqual({ status: 422, title: ["can't be blank"] });
  expect(await errors(ana("GET", "/api/articles/nothing"))).toEqual({ status: 404, article: ["not found"] });
  for (const body of [undefined, null, [], "text", { article: null }, { article: { title: 1 } }]) {
    expect(await errors(ana("POST", "/api/articles", body))).toMatchObject({ status: 422 });
  }
});

test("what everybody sees is his own view", async (t) => {
  const [ana, bo] = [await writer(t, "ana"), await writer(t, "bo")];
  const { article } = await ana("POST", "/api/articles", { article: dragon });
  expect(article.slug).toBe("how-to-train");
  await bo("POST", "/api/profiles/ana/follow");
  await bo("POST", "/api/articles/how-to-train/favorite");
  await bo("POST", "/api/articles/how-to-train/favorite");
  const seen = async (who: typeof ana) => (await who("GET", "/api/articles?tag=dragons")).articles[0];
  expect(await seen(bo)).toMatchObject({ favorited: true, favoritesCount: 1, author: { following: true } });
  expect(await seen(ana)).toMatchObject({ favorited: false, favoritesCount: 1, author: { following: false } });
  expect((await bo("GET", "/api/articles/feed")).articlesCount).toBe(1);
  expect((await ana("GET", "/api/articles/feed")).articlesCount).toBe(0);
  expect((await t.request("GET", "/api/articles?favorited=bo")).articlesCount).toBe(1);
  expect((await t.request("GET", "/api/articles?favorited=nobody")).articlesCount).toBe(0);
});

test("two of the same title at once get two addresses", async (t) => {
  const ana = await writer(t, "ana");
  const made = await t.together(
    ana("POST", "/api/articles", { article: dragon }), ana("POST", "/api/articles", { article: dragon }));
  expect(new Set(made.map((r) => r.article.slug)).size).toBe(2);
});

test("only its author changes an article, and with it go its comments", async (t) => {
  const [ana, bo] = [await writer(t, "ana"), await writer(t, "bo")];
  await ana("POST", "/api/articles", { article: dragon });
  const at = "/api/articles/how-to-train";
  expect(await errors(bo("PUT", at, { article: { body: "No." } }))).toEqual({ status: 403, article: ["forbidden"] });
  expect(await errors(bo("DELETE", at))).toEqual({ status: 403, article: ["forbidden"] });
  const { comment } = await bo("POST", at + "/comments", { comment: { body: "Thanks!" } });
  expect(comment).toMatchObject({ id: 1, body: "Thanks!", author: { username: "bo" } });
  expect(await errors(ana("DELETE", at + "/comments/1"))).toEqual({ status: 403, comment: ["forbidden"] });
  expect((await ana("PUT", at, { article: { tagList: [] } })).article.tagList).toEqual([]);
  expect(await t.db.tags.count()).toBe(0);
  await ana("DELETE", at);
  expect(await t.db.comments.count()).toBe(0);
});
