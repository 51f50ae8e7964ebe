// Posts: read with their authors, drawn, written, liked.
import { drop, get, me, post, text } from "./api.js";
import { busy, flag, h, icon, put, say, when } from "./dom.js";
import { ask } from "./account.js";

const heart = "M10 17C4 12.5 2 9.5 3 6.5 4.200 3.5 8 3.400 10 6.5 12 3.400 15.800 3.5 17 6.5 18 9.5 16 12.5 10 17Z";
const bubble = "M3 4h14v10H9l-4 3.5V14H3Z";
const bin = ["M4 6h12", "M8 6V4h4v2", "M5.5 6 6.300 17h7.400L14.5 6"];

// liked holds my like of each post that was shown.
const liked = new Map();

// learn reads which of these posts I like.
async function learn(posts) {
  if (!me.user || posts.length === 0) return;
  const filter = `user == ${text(me.user.id)} && post in ${text(posts.map((p) => p.id))}`;
  const { items } = await get("/api/likes", { filter, limit: 50 });
  for (const p of posts) liked.delete(p.id);
  for (const like of items) liked.set(like.post, like.id);
}

// page reads a portion of posts, as a query or by their ids in order.
export async function page(query) {
  const found = await get("/api/posts", { expand: "author,reply_to.author", limit: 20, ...query });
  await learn(found.items);
  return found;
}

export async function byIds(ids) {
  if (ids.length === 0) return [];
  const { items } = await page({ filter: `id in ${text(ids)}`, limit: ids.length });
  return ids.map((id) => items.find((p) => p.id === id)).filter(Boolean);
}

// list draws posts, and a button for more where there are.
export function list(posts, more) {
  const all = h("div", { class: "posts" }, posts.map((p) => card(p)));
  const next = more && h("button", { class: "button quiet fresh", type: "button", id: "more" }, "Older posts");
  next?.addEventListener("click", () => busy(next, async () => {
    const { items, done } = await more();
    all.append(...items.map((p) => card(p)));
    next.hidden = done;
  }));
  return [all, next];
}

// card draws one post.
export function card(p, whole = false) {
  const author = p.expand.author, parent = p.expand.reply_to;
  const article = h("article", { class: whole ? "post whole" : "post", "data-post": p.id },
    flag(author.handle),
    h("div", {},
      h("p", { class: "by" },
        h("a", { href: `#/u/${author.handle}` }, author.name),
        h("a", { class: "at", href: `#/u/${author.handle}`, tabindex: "-1", "aria-hidden": "true" }, `@${author.handle}`),
        h("a", { class: "at", href: `#/p/${p.id}` }, when(p.created))),
      parent && !whole && h("p", { class: "answers" }, "answers ",
        h("a", { href: `#/p/${parent.id}` }, parent.expand?.author?.name ?? "a post")),
      h("p", { class: "text" }, p.text)),
    h("div", { class: "deeds" }, likeButton(p),
      h("a", { class: "deed", href: `#/p/${p.id}`, "aria-label": `Answers: ${p.replies}` }, icon(bubble), h("span", {}, p.replies || "")),
      p.author === me.user?.id && deleteButton(p, () => article.remove())));
  return article;
}

function likeButton(p) {
  const button = h("button", { class: "deed like", type: "button" });
  const draw = () => {
    button.setAttribute("aria-pressed", liked.has(p.id));
    button.setAttribute("aria-label", `Like, ${p.likes} so far`);
    put(button, icon(heart), h("span", {}, p.likes || ""));
  };
  button.addEventListener("click", () => {
    if (!me.user) return ask();
    return busy(button, async () => {
      try {
        if (liked.has(p.id)) await drop(`/api/likes/${liked.get(p.id)}`);
        else await post("/api/likes", { post: p.id });
      } catch (e) {
        if (e.code !== "already_exists" && e.code !== "not_found") say(e.message);
      }
      p.likes = (await get(`/api/posts/${p.id}`, { fields: "likes" })).likes;
      await learn([p]);
      draw();
    });
  });
  draw();
  return button;
}

function deleteButton(p, gone) {
  const button = h("button", { class: "deed away", type: "button", "aria-label": "Delete this post" }, icon(...bin));
  let sure = false;
  button.addEventListener("click", () => {
    if (!sure) {
      sure = true;
      put(button, "Really delete?");
      return undefined;
    }
    return busy(button, async () => {
      await drop(`/api/posts/${p.id}`).then(gone, (e) => say(e.message));
    });
  });
  return button;
}

const longest = 500;

// composer is the form for a post, or for an answer to one.
export function composer(written, parent) {
  if (!me.user) return null;
  const field = h("textarea", { id: "text", name: "text", maxlength: longest, required: true, rows: 2,
    placeholder: parent ? "Your answer" : "What is new on the quay?" });
  const left = h("span", { class: "left", "aria-live": "off" });
  const send = h("button", { class: "button", type: "submit" }, parent ? "Answer" : "Post");
  const problem = h("div", {});
  let key = crypto.randomUUID();
  const form = h("form", { class: "panel write", id: "write" },
    h("label", { class: "hidden", for: "text" }, parent ? "Your answer" : "A new post"),
    field, problem, h("div", { class: "row" }, left, send));
  const count = () => {
    const rest = longest - [...field.value].length;
    left.textContent = rest < 100 ? `${rest} left` : "";
    left.classList.toggle("few", rest < 20);
  };
  field.addEventListener("input", () => {
    key = crypto.randomUUID(); // another text is another post
    count();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    return busy(send, async () => {
      put(problem);
      try {
        const made = await post("/api/posts", { text: field.value, reply_to: parent }, key);
        form.reset();
        key = crypto.randomUUID();
        count();
        const [whole] = await byIds([made.id]);
        const drawn = card(whole);
        drawn.classList.add("new");
        written(drawn);
      } catch (e) {
        put(problem, h("p", { class: "problem", role: "alert" }, e.message));
        field.focus();
      }
    });
  });
  return form;
}
