// The page: places by their hash, who is signed in, and what arrives meanwhile.
import { drop, get, me, post, recall, text } from "./api.js";
import { ask, onChange, settings, signOut } from "./account.js";
import { busy, find, flag, h, put, say, when } from "./dom.js";
import { byIds, card, composer, list, page } from "./posts.js";

const main = find("content");
const newest = "-created,-id";
const empty = (title, words, ...more) =>
  h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, words), more);

// latest is the moment of the newest post that is shown where all posts are.
let latest = null;

// A view is one place: what it returns is drawn.
const views = {
  async all() {
    const { items, next } = await page({ sort: newest });
    latest = items[0]?.created ?? null;
    let cursor = next;
    const more = next && (async () => {
      const older = await page({ sort: newest, cursor });
      cursor = older.next;
      return { items: older.items, done: !cursor };
    });
    const posts = list(items, more);
    return [h("h1", { class: "hidden" }, "All posts"),
      composer((drawn) => posts[0].prepend(drawn)), h("div", { id: "arrived" }), posts];
  },

  async feed() {
    if (!me.user) return signedOut("Follow people, and what they say is here.");
    const some = async (after) => {
      const { posts } = await get("/api/actions/feed", { after, limit: 20 });
      return byIds(posts);
    };
    const posts = await some();
    let last = posts.at(-1)?.id;
    const more = posts.length === 20 && (async () => {
      const items = await some(last);
      last = items.at(-1)?.id ?? last;
      return { items, done: items.length < 20 };
    });
    const drawn = list(posts, more);
    return [h("h1", {}, "People you follow"), composer((made) => drawn[0].prepend(made)),
      posts.length ? drawn : empty("It is quiet here", "Follow somebody, and what they say is here.")];
  },

  async post(id) {
    const [p] = await byIds([id]);
    if (!p) return empty("This post is gone", "Its author may have deleted it.");
    const { items } = await page({ filter: `reply_to == ${text(id)}`, sort: "created,id", limit: 100 });
    const answers = list(items);
    const parent = p.expand.reply_to && (await byIds([p.reply_to]));
    return [h("h1", { class: "hidden" }, `A post of ${p.expand.author.name}`), parent?.map((x) => card(x)), card(p, true),
      composer((made) => answers[0].append(made), id), items.length ? h("h2", {}, "Answers") : null, answers];
  },

  async person(handle) {
    const { items: [who] } = await get("/api/users", { handle });
    if (!who) return empty("Nobody here is called that", `There is no @${handle}.`);
    const mine = who.id === me.user?.id;
    const [posts, following, followers, follow] = await Promise.all([
      page({ author: who.id, sort: newest, limit: 50 }), me.user && many("follower", who.id), me.user && many("followed", who.id),
      me.user && !mine ? get("/api/follows", { follower: me.user.id, followed: who.id }) : null,
    ]);
    return [h("section", { class: "who", "aria-label": who.name },
      h("div", { class: "line" }, flag(who.handle),
        h("div", { class: "grow" }, h("h1", {}, who.name), h("p", { class: "muted" }, `@${who.handle}`)),
        follow && followButton(who, follow.items[0]),
        mine && h("button", { class: "button quiet", type: "button", id: "sign-out", onclick: signOut }, "Sign out")),
      who.about && h("p", {}, who.about),
      me.user && h("p", { class: "numbers" },
        h("span", {}, h("b", {}, following), " following"), h("span", {}, h("b", {}, followers), " followers"))),
    mine && h("details", { class: "panel" }, h("summary", {}, "About you"), settings(show)),
    posts.items.length ? list(posts.items) : empty("Nothing yet", `${who.name} has not said anything.`)];
  },

  async told() {
    if (!me.user) return signedOut("What happened to your posts is here.");
    const { items } = await get("/api/notifications", { sort: newest, expand: "from,post", limit: 50 });
    if (items.some((n) => !n.seen)) await post("/api/actions/seen_all", {});
    await count();
    const words = { like: "liked your post", follow: "follows you now", reply: "answered you" };
    return [h("h1", {}, "What happened"),
      items.length === 0 && empty("Nothing yet", "When somebody likes or answers what you said, it is here."),
      h("ul", { class: "posts" }, items.map((n) => h("li", { class: n.seen ? "told" : "told unseen" }, flag(n.expand.from.handle),
        h("div", { class: "grow" },
          h("p", {}, h("a", { href: `#/u/${n.expand.from.handle}` }, n.expand.from.name), " ", words[n.kind],
            !n.seen && h("span", { class: "hidden" }, " (new)")),
          n.expand.post && h("p", { class: "muted excerpt" }, h("a", { href: `#/p/${n.post}` }, n.expand.post.text)), when(n.created)))))];
  },
};

const signedOut = (why) => empty("Sign in first", why,
  h("button", { class: "button", type: "button", onclick: () => ask() }, "Sign in"));

const many = async (field, id) =>
  (await get("/api/follows", { [field]: id, limit: 1, total: true })).total;

function followButton(who, follow) {
  const button = h("button", { class: follow ? "button quiet" : "button", type: "button", "aria-pressed": String(Boolean(follow)), id: "follow" },
    follow ? "Following" : "Follow");
  button.addEventListener("click", () => busy(button, async () => {
    await (follow ? drop(`/api/follows/${follow.id}`) : post("/api/follows", { followed: who.id }))
      .catch((e) => say(e.message));
    await show();
  }));
  return button;
}

// around draws what stands beside every place.
async function around() {
  const [popular, people] = await Promise.all([
    get("/api/popular"), get("/api/users", { sort: "-created,-id", limit: 6 }),
  ]);
  const posts = await byIds(popular.items.map((p) => p.post));
  put(find("aside"),
    posts.length > 0 && h("section", { class: "panel" }, h("h2", {}, "Liked this week"),
      h("ul", {}, posts.map((p) => h("li", { class: "small" }, flag(p.expand.author.handle),
        h("p", { class: "grow excerpt" }, h("a", { href: `#/p/${p.id}` }, p.text)))))),
    h("section", { class: "panel" }, h("h2", {}, "Who is here"),
      h("ul", {}, people.items.map((u) => h("li", { class: "small" }, flag(u.handle),
        h("p", { class: "grow" }, h("a", { href: `#/u/${u.handle}` }, u.name)))))));
}

// count shows how much happened that was not seen.
async function count() {
  const badge = find("unseen");
  if (!badge) return;
  const { total } = await get("/api/notifications", { seen: false, limit: 1, total: true });
  badge.hidden = total === 0;
  put(badge, total > 99 ? "99+" : total, h("span", { class: "hidden" }, " new"));
}

// arrived offers posts that came while all posts are shown.
async function arrived() {
  const place = find("arrived");
  if (!place || !latest) return;
  const { total } = await get("/api/posts", { filter: `created > timestamp(${text(latest)})`, limit: 1, total: true });
  const shown = document.querySelectorAll(".post.new").length;
  put(place, total > shown && h("button", { class: "button fresh", type: "button", id: "fresh", onclick: () => show() },
    "Newer posts"));
}

function places(at) {
  const place = (hash, words, ...more) =>
    h("a", { href: hash, "aria-current": at === hash ? "page" : null }, words, more);
  put(find("places"), place("#/", "Harbour"), place("#/feed", "Following"),
    me.user && place("#/you", "News", h("span", { class: "count", id: "unseen", hidden: true })));
  put(find("self"), me.user
    ? h("a", { href: `#/u/${me.user.handle}`, id: "me" }, flag(me.user.handle), h("span", { class: "name" }, me.user.name))
    : h("button", { class: "button", type: "button", id: "sign-in", onclick: () => ask() }, "Sign in"));
}

let turn = 0;

// show draws the place that the address names; only the last of several is drawn.
async function show() {
  const mine = ++turn;
  const hash = location.hash || "#/";
  const [, kind = "", id = ""] = hash.split("/");
  const view = { "": views.all, feed: views.feed, you: views.told, p: views.post, u: views.person }[kind] ??
    (() => empty("There is nothing here", "The address may be wrong."));
  places(hash);
  main.setAttribute("aria-busy", "true");
  try {
    const drawn = await view(decodeURIComponent(id));
    if (mine === turn) put(main, drawn);
  } catch (e) {
    if (mine === turn) put(main, h("p", { class: "problem", role: "alert" }, e.message));
  }
  if (mine === turn) {
    main.removeAttribute("aria-busy");
    document.title = `${main.querySelector("h1")?.textContent ?? "Quayside"} · Quayside`;
    await count().catch(() => {});
  }
}

find("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => {
  scrollTo(0, 0);
  show().then(() => {
    // Who has begun to type meanwhile goes on typing.
    if (!document.activeElement?.matches("input, textarea, select")) main.focus({ preventScroll: true });
  });
});
onChange(() => show());

await recall().catch((e) => say(e.message));
await Promise.all([show(), around().catch(() => {})]);
setInterval(() => {
  if (document.hidden) return;
  count().then(arrived).catch(() => {}); // the next time tells again
}, 5000);
