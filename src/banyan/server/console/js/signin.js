/** The page shown while the server wants a key and has none. */

import { api } from "./api.js";
import { el, fill, freshId } from "./dom.js";
import { productMark } from "./icons.js";
import { t } from "./i18n.js";
import { errorCard } from "./notices.js";
import { preferences } from "./preferences.js";

/**
 * @param {HTMLElement} root
 * @param {() => Promise<void>} onSignedIn
 */
export function showSignIn(root, onSignedIn) {
  const id = freshId("key");
  const field = el("input.input", {
    id,
    type: "password",
    name: "key",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
  });
  const problem = el("div.signin-problem");
  const button = el("button.button.primary", { type: "submit" }, t("signin.action"));

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    fill(problem);
    try {
      await api.login(field.value.trim());
      await onSignedIn();
    } catch (error) {
      fill(problem, errorCard(error));
      button.disabled = false;
      field.select();
    }
  }

  fill(
    root,
    el(
      "main.signin",
      { id: "main" },
      el(
        "form.signin-card",
        { on: { submit } },
        el("div.signin-mark", {}, productMark()),
        el("h1", {}, t("signin.title")),
        el("p.muted", {}, t("signin.text")),
        el("label.label", { for: id }, t("signin.key")),
        field,
        problem,
        button,
      ),
      preferences(),
    ),
  );
  field.focus();
}
