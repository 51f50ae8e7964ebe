// The sheet for signing in and signing up.
import { busy, find, h, icon, put, say } from "./dom.js";
import { clear, mark } from "./problem.js";
import * as session from "./session.js";

const modes = {
  "sign-in": {
    title: "Welcome back",
    button: "Sign in",
    busy: "Signing in …",
    swap: ["New here?", "Make an account", "sign-up"],
  },
  "sign-up": {
    title: "Make an account",
    button: "Sign up",
    busy: "Signing up …",
    swap: ["Been here before?", "Sign in", "sign-in"],
  },
};

// openAccount shows the sheet in the mode "sign-in" or "sign-up".
export function openAccount(mode) {
  const dialog = find("account");
  const words = modes[mode];
  const fresh = mode === "sign-up";
  const button = h("button", { class: "button wide", id: "account-go" }, words.button);
  const form = h(
    "form",
    {
      class: "form",
      onsubmit: async (e) => {
        e.preventDefault();
        clear(form);
        const values = Object.fromEntries(new FormData(form));
        try {
          await busy(button, words.busy, () =>
            fresh ? session.signUp(values) : session.signIn(values),
          );
        } catch (problem) {
          mark(form, problem);
          return;
        }
        dialog.close();
        say(fresh ? `Welcome, ${session.me().name}.` : `Hello again, ${session.me().name}.`);
        if (fresh) location.hash = "#/wallet";
      },
    },
    fresh ? field("name", "Your name", { autocomplete: "name", maxlength: 80 }) : null,
    field("email", "E-mail", { type: "email", autocomplete: "email", maxlength: 254 }),
    field(
      "password",
      "Password",
      {
        type: "password",
        minlength: fresh ? 8 : null,
        autocomplete: fresh ? "new-password" : "current-password",
      },
      fresh ? "At least 8 characters." : null,
    ),
    button,
  );
  const [question, answer, other] = words.swap;
  put(
    dialog,
    h(
      "header",
      { class: "drawer-head" },
      h("h2", { id: "account-title" }, words.title),
      h(
        "form",
        { method: "dialog" },
        h("button", { class: "close", "aria-label": "Close" }, icon("M5 5l10 10M15 5 5 15")),
      ),
    ),
    form,
    h(
      "p",
      { class: "swap" },
      question,
      " ",
      h(
        "button",
        { type: "button", class: "link", id: "swap", onclick: () => openAccount(other) },
        answer,
      ),
    ),
    fresh
      ? null
      : h(
          "p",
          { class: "hint" },
          "To look around: ",
          h("code", {}, "ana@example.com"),
          " with the password ",
          h("code", {}, "password"),
          ".",
        ),
  );
  if (!dialog.open) dialog.showModal();
  form.querySelector("input").focus();
}

function field(name, label, attributes, hint) {
  const id = `account-${name}`;
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    h("input", { id, name, required: true, ...attributes }),
    hint ? h("p", { class: "hint" }, hint) : null,
  );
}
