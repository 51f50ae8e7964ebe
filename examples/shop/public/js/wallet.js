// The page about one's own money and name.
import { openAccount } from "./account.js";
import * as api from "./api.js";
import { busy, find, h, put, say } from "./dom.js";
import { clear, mark } from "./problem.js";
import * as session from "./session.js";
import { money } from "./text.js";
import { topUp } from "./topup.js";

// show fills the page.
export function show(main) {
  const someone = session.me();
  if (!someone) {
    put(
      main,
      h(
        "div",
        { class: "empty" },
        h("h1", {}, "Your wallet"),
        h("p", {}, "Sign in to see what is in it."),
        h(
          "button",
          { type: "button", class: "button", onclick: () => openAccount("sign-in") },
          "Sign in",
        ),
      ),
    );
    return;
  }
  put(
    main,
    h(
      "div",
      { class: "narrow" },
      h("h1", {}, "Your wallet"),
      h(
        "section",
        { class: "purse", "aria-label": "Balance" },
        h("p", {}, "You can spend"),
        h("p", { class: "purse-sum", id: "balance", "aria-live": "polite" }, money(someone.wallet)),
        h(
          "p",
          { class: "purse-note" },
          "Only orders, vouchers and cards move this number. The page cannot, whatever it sends.",
        ),
      ),
      topUp(someone),
      voucher(),
      profile(someone),
    ),
  );
}

// claim keeps the key of a claim that has no answer yet.
let claim = null;

function voucher() {
  const button = h("button", { class: "button", id: "claim" }, "Claim");
  const form = h(
    "form",
    {
      class: "form block",
      onsubmit: async (e) => {
        e.preventDefault();
        clear(form);
        const code = form.elements.code.value.trim().toUpperCase();
        if (claim?.code !== code) claim = { code, key: crypto.randomUUID() };
        try {
          const { value } = await busy(button, "Claiming …", () =>
            api.act("claim_voucher", { code }, claim.key),
          );
          claim = null;
          form.reset();
          session.update({ wallet: value.balance });
          find("balance").textContent = money(value.balance);
          say(`${money(value.amount)} came into your wallet.`);
        } catch (problem) {
          if (!problem.open) claim = null;
          mark(form, problem);
        }
      },
    },
    h("h2", {}, "Claim a voucher"),
    h(
      "div",
      { class: "field" },
      h("label", { for: "voucher" }, "Voucher code"),
      h(
        "div",
        { class: "joined" },
        h("input", {
          id: "voucher",
          name: "code",
          required: true,
          maxlength: 16,
          autocapitalize: "characters",
          autocomplete: "off",
          spellcheck: "false",
        }),
        button,
      ),
    ),
    h(
      "p",
      { class: "hint" },
      "Try ",
      h("code", {}, "WELCOME50"),
      ". Each voucher works once for each person.",
    ),
  );
  return form;
}

function profile(someone) {
  const save = h("button", { class: "button quiet" }, "Save");
  const form = h(
    "form",
    {
      class: "form block",
      onsubmit: async (e) => {
        e.preventDefault();
        clear(form);
        const change = {
          name: form.elements.name.value.trim(),
          deals: form.elements.deals.checked,
        };
        try {
          session.update(
            await busy(save, "Saving …", () => api.patch(`/api/users/${someone.id}`, change)),
          );
          say("Saved.");
        } catch (problem) {
          mark(form, problem);
        }
      },
    },
    h("h2", {}, "About you"),
    h(
      "div",
      { class: "field" },
      h("label", { for: "name" }, "Name"),
      h("input", {
        id: "name",
        name: "name",
        required: true,
        maxlength: 80,
        autocomplete: "name",
        value: someone.name,
      }),
    ),
    h(
      "label",
      { class: "check" },
      h("input", { type: "checkbox", name: "deals", checked: someone.deals }),
      "Tell me about offers",
    ),
    h(
      "div",
      { class: "buttons" },
      save,
      h(
        "button",
        {
          type: "button",
          class: "button plain",
          id: "sign-out",
          onclick: async () => {
            try {
              await session.signOut();
              say("You are signed out.");
              location.hash = "#/";
            } catch (problem) {
              mark(form, problem);
            }
          },
        },
        "Sign out",
      ),
    ),
  );
  return form;
}
