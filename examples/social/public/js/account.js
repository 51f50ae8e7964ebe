// Signing in and up, and what people say of themselves.
import { enter, leave, me, patch } from "./api.js";
import { busy, find, h, put, say } from "./dom.js";

// changed is told when who is signed in has changed.
let changed = () => {};
export const onChange = (fn) => { changed = fn; };

const field = (name, label, attributes) =>
  h("div", { class: "field" }, h("label", { for: `f-${name}` }, label),
    h("input", { id: `f-${name}`, name, required: true, ...attributes }));

// ask opens the dialog to sign in, or to sign up.
export function ask(joining = false) {
  const dialog = find("account");
  const problem = h("div", {});
  const send = h("button", { class: "button wide", type: "submit" }, joining ? "Come aboard" : "Sign in");
  const form = h("form", {},
    joining && field("name", "Your name", { maxlength: 60, autocomplete: "name" }),
    joining && field("handle", "Handle, as in @ana", { pattern: "[a-z][a-z0-9_]{1,19}", autocapitalize: "none",
      autocomplete: "username", title: "2 to 20 small letters, digits or _" }),
    field("email", "Email", { type: "email", autocomplete: "email" }),
    field("password", "Password", { type: "password", minlength: 8,
      autocomplete: joining ? "new-password" : "current-password" }),
    problem, send);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    return busy(send, async () => {
      try {
        await enter(joining ? "sign-up" : "sign-in", Object.fromEntries(new FormData(form)));
        dialog.close();
        changed();
        say(`Hello, ${me.user.name}.`);
      } catch (e) {
        put(problem, h("p", { class: "problem", role: "alert" }, e.message));
      }
    });
  });
  put(dialog,
    h("h1", { id: "account-title" }, joining ? "Come aboard" : "Sign in"),
    !joining && h("p", { class: "muted" }, "To look around: ana@example.com, password."),
    form,
    h("p", { class: "muted" }, joining ? "Here before? " : "New here? ",
      h("button", { class: "link", type: "button", onclick: () => ask(!joining) }, joining ? "Sign in" : "Come aboard")),
    h("button", { class: "button quiet wide", type: "button", onclick: () => dialog.close() }, "Not now"));
  if (!dialog.open) dialog.showModal();
  form.querySelector("input").focus();
}

export async function signOut() {
  await leave();
  changed();
  say("Signed out.");
}

// settings is the form in which people say who they are.
export function settings(done) {
  const problem = h("div", {});
  const send = h("button", { class: "button", type: "submit" }, "Save");
  const form = h("form", { class: "write" },
    field("name", "Name", { value: me.user.name, maxlength: 60 }),
    field("about", "About you", { value: me.user.about ?? "", maxlength: 160, required: false }),
    h("label", { class: "check" },
      h("input", { type: "checkbox", name: "digest", checked: me.user.digest }), "Write to me when something is left unread"),
    problem, h("div", { class: "row" }, send));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    return busy(send, async () => {
      try {
        me.user = await patch(`/api/users/${me.user.id}`, {
          name: form.elements.name.value, about: form.elements.about.value || null,
          digest: form.elements.digest.checked,
        });
        say("Saved.");
        done();
      } catch (e) {
        put(problem, h("p", { class: "problem", role: "alert" }, e.message));
      }
    });
  });
  return form;
}
