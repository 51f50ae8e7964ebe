// Shows a problem: what was refused, why, and where to ask what decided it.
import { h } from "./dom.js";

// panel returns the problem as an alert. named turns a pointer into words where it can.
export function panel(problem, named = () => "") {
  const errors = problem.errors.map((e) => {
    const what = named(e.pointer ?? "") || field(e.pointer ?? "");
    return h("li", {}, what ? `${what}: ${e.detail}` : e.detail);
  });
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", { class: "problem-title" }, problem.message),
    errors.length ? h("ul", {}, errors) : null,
    !errors.length && problem.detail && problem.status !== 409 ? h("p", {}, problem.detail) : null,
    problem.wait ? h("p", {}, `Try again in ${problem.wait} s.`) : null,
    problem.request ? decided(problem) : null,
  );
}

// field makes "quantity" of "#/items/0/quantity".
function field(pointer) {
  const last = pointer.split("/").at(-1) ?? "";
  return /^\d*$/.test(last) || last === "#" ? "" : last.slice(0, 1).toUpperCase() + last.slice(1);
}

function decided({ request, code }) {
  const command = `galley why ${request}`;
  const copy = h(
    "button",
    {
      type: "button",
      class: "link",
      "aria-label": `Copy the command ${command}`,
      onclick: async () => {
        await navigator.clipboard.writeText(command);
        copy.textContent = "copied";
      },
    },
    "copy",
  );
  return h(
    "p",
    { class: "why" },
    h("span", {}, "What decided this? "),
    h("code", { "data-code": code }, command),
    " ",
    copy,
  );
}

// mark shows a form's problem: each error at its field, the rest in a panel above.
export function mark(form, problem) {
  clear(form);
  const left = [];
  for (const e of problem.errors) {
    const input = form.elements.namedItem((e.pointer ?? "").replace(/^#\//, ""));
    if (!input) {
      left.push(e);
      continue;
    }
    const id = `${input.id}-error`;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", id);
    input.after(h("p", { class: "field-error", id }, e.detail));
  }
  if (left.length || !problem.errors.length) {
    const rest = Object.create(problem, { errors: { value: left } });
    form.querySelector(".field").before(panel(rest));
  }
  form.querySelector("[aria-invalid]")?.focus();
}

// clear takes away what mark has shown.
export function clear(form) {
  for (const old of form.querySelectorAll(".problem, .field-error")) old.remove();
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}
