/** The box one writes in: grows with its text, Enter sends, Shift+Enter breaks the line. */

import { el, fill, freshId } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

const MAX_HEIGHT_PX = 200;

/**
 * @param {{label: string, placeholder: string, draft: {text: string},
 *          onSend: (text: string) => void, onStop: () => void}} options
 *   `draft` keeps what is being written while the page is rebuilt
 * @param {...Node} extras what stands under the text, before the button
 */
export function createComposer({ label, placeholder, draft, onSend, onStop }, ...extras) {
  const id = freshId("composer");
  const field = el("textarea.composer-field", {
    id,
    rows: 1,
    placeholder,
    "data-slash": true,
    value: draft.text,
    "aria-keyshortcuts": "/",
    enterkeyhint: "send",
  });
  const button = el("button.composer-send", { type: "submit" });
  let busy = false;

  function fit() {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, MAX_HEIGHT_PX)}px`;
  }

  function refresh() {
    draft.text = field.value;
    button.disabled = !busy && field.value.trim() === "";
    const name = busy ? t("action.stop") : t("action.send");
    button.setAttribute("aria-label", name);
    button.title = name;
    button.classList.toggle("is-busy", busy);
    fill(button, icon(busy ? "stop" : "send"));
  }

  function submit(event) {
    event.preventDefault();
    if (busy) {
      onStop();
      return;
    }
    const text = field.value.trim();
    if (!text) return;
    field.value = "";
    fit();
    refresh();
    onSend(text);
  }

  function keydown(event) {
    // an input method's Enter chooses a candidate; it must not send
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!busy) node.requestSubmit();
  }

  field.addEventListener("input", () => (fit(), refresh()));
  field.addEventListener("keydown", keydown);
  const node = el(
    "form.composer",
    { on: { submit } },
    el("label.visually-hidden", { for: id }, label),
    field,
    el("div.composer-row", {}, el("div.composer-extras", {}, extras), button),
  );
  node.classList.toggle("is-bare", !extras.length);
  refresh();
  requestAnimationFrame(fit);
  return {
    node,
    setBusy(value) {
      busy = value;
      refresh();
    },
    focus: () => field.focus(),
    setText(text) {
      field.value = text;
      fit();
      refresh();
    },
  };
}
