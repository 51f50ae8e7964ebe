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
  setTimeout(() => toast.remove(), 4000);
}

// Colours and patterns of the flags by which people are told apart.
const cloth = ["#f3efe4", "#d8402a", "#f2b632", "#1f5fa8", "#12303f", "#2f7d5b"];
const patterns = [
  (a, b) => [["rect", 0, 0, 24, 24, a], ["rect", 12, 0, 12, 24, b]],
  (a, b) => [["rect", 0, 0, 24, 24, a], ["rect", 0, 8, 24, 8, b]],
  (a, b) => [["rect", 0, 0, 24, 24, a], ["rect", 7, 7, 10, 10, b]],
  (a, b) => [["rect", 0, 0, 24, 24, a], ["rect", 0, 9, 24, 6, b], ["rect", 9, 0, 6, 24, b]],
  (a, b) => [["rect", 0, 0, 24, 24, a], ["path", "M0 24 24 0V24Z", b]],
  (a, b) => [["rect", 0, 0, 24, 24, a], ["path", "M0 0H24L12 12Z M0 24H24L12 12Z", b]],
  (a, b) => [["rect", 0, 0, 24, 24, a], ["path", "M12 3 21 12 12 21 3 12Z", b]],
  (a, b) => [["rect", 0, 0, 24, 24, a], ["rect", 0, 0, 12, 12, b], ["rect", 12, 12, 12, 12, b]],
];

// flag is the signal flag of a person, always the same one for a handle.
export function flag(handle) {
  let n = 7;
  for (const c of handle) n = (n * 131 + c.charCodeAt(0)) >>> 0;
  const a = n % cloth.length, b = (a + 1 + (n >>> 8) % (cloth.length - 1)) % cloth.length;
  const shapes = patterns[(n >>> 16) % patterns.length](cloth[a], cloth[b]);
  return svg("svg", { viewBox: "0 0 24 24", class: "flag", "aria-hidden": "true", focusable: "false" },
    shapes.map(([kind, ...v]) =>
      kind === "path"
        ? svg("path", { d: v[0], fill: v[1] })
        : svg("rect", { x: v[0], y: v[1], width: v[2], height: v[3], fill: v[4] })));
}

const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

// when is a moment as people say it.
export function when(iso) {
  const gone = (Date.now() - Date.parse(iso)) / 1000;
  const [unit, size] = units.find(([, s]) => gone >= s) ?? [];
  const text = !unit ? "just now" : gone > 7 * 86400
    ? new Date(iso).toLocaleDateString("en", { day: "numeric", month: "short" })
    : relative.format(-Math.floor(gone / size), unit);
  return h("time", { datetime: iso, title: new Date(iso).toLocaleString() }, text);
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
