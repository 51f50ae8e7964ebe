// The page of the newsletter: subscribe, confirm, read, and the editor's desk.

const find = (id) => document.getElementById(id);
const main = find("content");

// h makes an element; text is never read as markup.
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

async function call(method, path, body, key) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  let answer, text;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    text = await answer.text();
  } catch {
    throw new Error("The page's server cannot be reached. Please try again.");
  }
  const value = text ? JSON.parse(text) : null;
  if (answer.ok) return value;
  const first = value?.errors?.[0];
  throw Object.assign(new Error(first?.detail ?? value?.title ?? "Something went wrong."), { status: answer.status });
}
const get = (path, query) => call("GET", path + "?" + new URLSearchParams(query));
const act = (name, input, key = crypto.randomUUID()) => call("POST", `/api/actions/${name}`, input, key);

let me = null;
const day = (iso) => h("time", { datetime: iso },
  new Date(iso).toLocaleDateString("en", { day: "numeric", month: "long", year: "numeric" }));

// sends makes a form of which one press is one request, and which shows what was wrong.
function sends(form, place, work) {
  const button = form.querySelector("[type=submit]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    try {
      place.replaceChildren();
      await work();
    } catch (e) {
      place.replaceChildren(h("p", { class: "note problem", role: "alert" }, e.message));
    } finally {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  });
  return form;
}

const listed = (letters, to) => h("ul", { class: "letters" }, letters.map((l) => h("li", {},
  h("a", { href: to + l.id }, h("b", {}, l.title), h("span", { class: "start" }, l.body),
    l.published ? day(l.published) : h("span", { class: "muted" }, "Draft")))));

const published = { filter: "published != null", sort: "-published", limit: 100 };

// Places, by the first word of the address.
const places = {
  async ""() {
    const { items } = await get("/api/letters", { ...published, limit: 3 });
    return [h("h2", {}, "The last letters"), listed(items, "#/letters/"),
      h("p", {}, h("a", { href: "#/archive" }, "All letters"))];
  },

  async archive() {
    const { items } = await get("/api/letters", published);
    return [h("h2", {}, "All letters"), listed(items, "#/letters/")];
  },

  async letters(id) {
    const l = await get(`/api/letters/${encodeURIComponent(id)}`);
    return h("article", { class: "letter" }, h("h2", {}, l.title), l.published && day(l.published),
      h("div", { class: "body" }, l.body), h("p", {}, h("a", { href: "#/archive" }, "All letters")));
  },

  // A link alone confirms nothing: programs that look into mails follow links, too.
  confirm(token) {
    const place = h("div", { id: "confirmed", "aria-live": "polite" });
    const form = h("form", { class: "form" }, h("h2", {}, "Shall we write to you?"),
      h("p", {}, "One press, and the next letter comes to you."), place,
      h("div", { class: "row" }, h("button", { class: "button", type: "submit", id: "yes" }, "Yes, write to me")));
    return sends(form, place, async () => {
      const { email } = await act("confirm", { token });
      form.replaceChildren(h("h2", {}, "You are on the list"), h("p", { class: "note" }, `The next letter goes to ${email}.`),
        h("p", {}, h("a", { href: "#/archive" }, "Read the letters so far")));
    });
  },

  async desk(id) {
    if (!me?.editor) return signIn();
    if (id) return write(id === "new" ? null : await get(`/api/letters/${encodeURIComponent(id)}`));
    const { items } = await get("/api/letters", { sort: "-created", limit: 100 });
    return [h("h2", {}, "Desk"), h("div", { class: "row" }, h("a", { class: "button", href: "#/desk/new", id: "new" }, "New letter"),
      h("button", { class: "button quiet", type: "button", onclick: signOut }, "Sign out")), listed(items, "#/desk/")];
  },
};

const field = (name, label, attributes, tag = "input") =>
  h("div", { class: "field" }, h("label", { for: `f-${name}` }, label), h(tag, { id: `f-${name}`, name, required: true, ...attributes }));

function signIn() {
  const place = h("div", {});
  const form = h("form", { class: "form" }, h("h2", {}, "The editor's desk"),
    h("p", { class: "muted" }, "To look around: editor@example.com, password."),
    field("email", "Email", { type: "email", autocomplete: "username" }),
    field("password", "Password", { type: "password", autocomplete: "current-password" }), place,
    h("div", { class: "row" }, h("button", { class: "button", type: "submit" }, "Sign in")));
  return sends(form, place, async () => {
    me = (await call("POST", "/api/auth/sign-in", Object.fromEntries(new FormData(form)))).user;
    await show();
  });
}

async function signOut() {
  await call("POST", "/api/auth/sign-out");
  me = null;
  await show();
}

function write(letter) {
  if (letter?.published) {
    return [h("h2", {}, letter.title), h("p", { class: "note" }, "Published on ", day(letter.published), ". It stays as it is."),
      h("p", {}, h("a", { href: "#/desk" }, "Back to the desk"))];
  }
  const place = h("div", { "aria-live": "polite" });
  const form = h("form", { class: "form" }, h("h2", {}, letter ? "Draft" : "New letter"),
    field("title", "Title", { maxlength: 120, value: letter?.title }),
    field("body", "Letter", { maxlength: 20000 }, "textarea"), place,
    h("div", { class: "row" }, h("button", { class: "button", type: "submit", id: "save" }, "Save"),
      letter && h("button", { class: "button quiet", type: "button", id: "publish", onclick: publish }, "Publish to all readers")));
  form.elements.body.value = letter?.body ?? "";
  const key = crypto.randomUUID();
  const save = async () => {
    const fields = { title: form.elements.title.value, body: form.elements.body.value };
    if (letter) return call("PATCH", `/api/letters/${letter.id}`, fields);
    return call("POST", "/api/letters", fields, key);
  };
  async function publish(event) {
    event.target.disabled = true;
    try {
      await save();
      await act("publish", { letter: letter.id }, key);
      await show();
    } catch (e) {
      event.target.disabled = false;
      place.replaceChildren(h("p", { class: "note problem", role: "alert" }, e.message));
    }
  }
  return sends(form, place, async () => {
    const saved = await save();
    if (!letter) location.hash = `#/desk/${saved.id}`;
    place.replaceChildren(h("p", { class: "note" }, "Saved. Nobody has got it yet."));
  });
}

let turn = 0;
async function show() {
  const mine = ++turn;
  const [, place = "", ...rest] = (location.hash || "#/").split("/");
  main.setAttribute("aria-busy", "true");
  let drawn;
  try {
    drawn = await (places[place] ?? places[""])(rest.join("/"));
  } catch (e) {
    drawn = h("p", { class: "note problem", role: "alert" }, e.status === 404 ? "There is no such letter." : e.message);
  }
  if (mine !== turn) return;
  find("hero").hidden = place !== "";
  for (const a of document.querySelectorAll(".bar a")) {
    if (place && a.hash === `#/${place}`) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  main.replaceChildren(h("div", { class: "page" }, drawn));
  main.removeAttribute("aria-busy");
  document.title = `${main.querySelector("h2")?.textContent ?? "Letters"} · Evening Sky`;
}

sends(find("subscribe"), find("asked"), async () => {
  await act("subscribe", { email: find("email").value });
  find("asked").replaceChildren(h("p", { class: "note" }, "Look into your mail: one click there, and the letters come."));
  find("subscribe").reset();
});
find("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => {
  scrollTo(0, 0);
  show().then(() => main.focus({ preventScroll: true }));
});
await call("GET", "/api/auth/session").then(({ user }) => { me = user; }, () => {});
await show();
