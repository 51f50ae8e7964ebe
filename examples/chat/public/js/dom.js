// Makes elements without ever reading text as markup.

// h returns an element: properties that begin with "on" are listeners, everything else is an
// attribute; false, null and undefined are left out, and true stands without a value.
export const h = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);

const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  put(element, children);
  return element;
}

// put makes these the only children of an element.
export const put = (element, ...children) =>
  element.replaceChildren(
    ...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));

// arrange makes these the children of an element, in this order, and moves no more of them than
// it must: what stays in its place keeps its focus, and is not read out again.
export function arrange(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const element of elements) {
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
}

export const find = (id) => document.getElementById(id);

// icon draws a line icon.
export const icon = (...paths) =>
  svg("svg", { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true", focusable: "false" },
    paths.map((d) => svg("path", { d })));

// say puts a sentence where people see it for a while and screen readers read it out.
export function say(text) {
  const toast = h("p", { class: "toast" }, text);
  find("toasts").replaceChildren(toast);
  setTimeout(() => toast.remove(), 5000);
}

// busy disables a button while work runs, so that one press is one request.
export async function busy(button, work) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

const colours = ["#0f5c4f", "#8f3d1c", "#5b3a86", "#1d5b85", "#7d5206", "#86305a", "#40591d", "#43489a"];

// colour is always the same one for a person.
export function colour(id) {
  let n = 7;
  for (const c of id) n = (n * 131 + c.charCodeAt(0)) >>> 0;
  return colours[n % colours.length];
}

// face is the round sign of a person.
export function face(id, name) {
  const letters = name.trim().split(/\s+/).map((word) => [...word][0]).slice(0, 2).join("").toUpperCase();
  const element = h("span", { class: "face", title: name, role: "img", "aria-label": name }, letters);
  element.style.background = colour(id);
  return element;
}

// ask opens the one dialog with a form; send is called with what was filled in. It closes
// when that succeeds, and shows why if it does not.
export function ask(title, { fields = [], button, send, more }) {
  const dialog = find("dialog");
  const problem = h("div", {});
  const go = button && h("button", { class: "button wide", type: "submit" }, button);
  const form = h("form", { novalidate: false }, fields, problem, go);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    return busy(go, async () => {
      try {
        await send(Object.fromEntries(new FormData(form)));
        dialog.close();
      } catch (e) {
        put(problem, h("p", { class: "problem", role: "alert" }, e.message));
      }
    });
  });
  put(dialog,
    h("div", { class: "head" }, h("h1", { id: "dialog-title" }, title),
      h("button", { class: "round", type: "button", "aria-label": "Close", onclick: () => dialog.close() }, icon("M5 5l10 10M15 5L5 15"))),
    fields.length || button ? form : null, more);
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("input, textarea, select, .button")?.focus();
}

// field is a labelled input.
export const field = (name, label, attributes, tag = "input") =>
  h("div", { class: "field" }, h("label", { for: `f-${name}` }, label),
    h(tag, { id: `f-${name}`, name, required: true, ...attributes }));

// linked finds addresses in a text, and returns pieces of it of which these can be followed.
export const linked = (text) => text.split(/(https?:\/\/[^\s<>"]+)/).map((part, i) =>
  i % 2 ? h("a", { href: part, rel: "noopener noreferrer", target: "_blank" }, part) : part);

const sameDay = (a, b) => a.toDateString() === b.toDateString();

// clock is the time of a day, day the day as people say it.
export const clock = (iso) => new Date(iso).toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hour12: false });
export function day(iso) {
  const at = new Date(iso), today = new Date();
  if (sameDay(at, today)) return "Today";
  if (sameDay(at, new Date(today - 24 * 3600_000))) return "Yesterday";
  return at.toLocaleDateString("en", { weekday: "long", day: "numeric", month: "long" });
}
