// Makes elements without ever reading text as markup.

// h returns an element: properties that begin with "on" are listeners, everything else is an
// attribute; false, null and undefined are left out, and true stands without a value.
export const h = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);

// svg is h for drawings.
export const svg = (tag, attributes, ...children) =>
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

// euros writes cents.
const format = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });
export const euros = (cents) => format.format(cents / 100);

// clock and day are of UTC, as everywhere where people fly.
export const clock = (iso) => new Date(iso).toISOString().slice(11, 16);
export const day = (iso) => new Date(iso).toLocaleDateString("en", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
