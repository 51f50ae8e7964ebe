// Signing in, up and out.
import { api } from "./api.js";
import { ask, face, field, h, say } from "./dom.js";

// enter opens the dialog to sign in, or to sign up.
export function enter(joining = false) {
  ask(joining ? "Sign up" : "Sign in", {
    fields: [
      joining && field("name", "Your name", { maxlength: 60, autocomplete: "name" }),
      field("email", "Email", { type: "email", autocomplete: "email" }),
      field("password", "Password", { type: "password", minlength: 8,
        autocomplete: joining ? "new-password" : "current-password" }),
    ].filter(Boolean),
    button: joining ? "Sign up" : "Sign in",
    send: (values) => joining ? api.auth.signUp(values) : api.auth.signIn(values),
    more: h("p", { class: "muted" },
      joining ? "Here before? " : "To look around: ana@example.com or bo@example.com, password. New here? ",
      h("button", { class: "link", type: "button", id: "swap", onclick: () => enter(!joining) }, joining ? "Sign in" : "Sign up")),
  });
}

// you opens what people may say of themselves.
export function you({ id, name }) {
  const { email } = api.auth.user;
  ask("You", {
    fields: [field("name", "Name", { value: name, maxlength: 60 })],
    button: "Save",
    send: (values) => api.users.update(id, values),
    more: h("p", { class: "row muted" }, face(id, name), h("span", { class: "grow" }, email),
      h("button", { class: "button quiet", type: "button", id: "sign-out", onclick: leave }, "Sign out")),
  });
}

async function leave() {
  await api.auth.signOut().catch((e) => say(e.message));
  document.getElementById("dialog").close();
}
