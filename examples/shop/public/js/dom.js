// Makes elements without ever reading text as markup, so that no name, whatever is in it, can
// become code.

// h returns an element: properties that begin with "on" are listeners, everything else is an
// attribute; false, null and undefined are left out, and true stands without a value.
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// svg is h for drawings.
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...flat(children));
  return element;
}

const flat = (children) =>
  children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false);

// put makes these the only children of an element.
export const put = (element, ...children) => element.replaceChildren(...flat(children));

// find returns the element with this id.
export const find = (id) => document.getElementById(id);

// icon draws a line icon of one path.
export function icon(d) {
  return svg(
    "svg",
    { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true", focusable: "false" },
    svg("path", { d }),
  );
}

const toastTime = 4000;

// say puts a sentence where people see it for a while and screen readers read it out.
export function say(text) {
  const toast = h("p", { class: "toast" }, text);
  find("toasts").replaceChildren(toast);
  setTimeout(() => toast.remove(), toastTime);
}

// busy disables a button while work runs, so that one press is one request.
export async function busy(button, label, work) {
  const before = [...button.childNodes];
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  button.replaceChildren(label);
  try {
    return await work();
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
    button.replaceChildren(...before);
  }
}
