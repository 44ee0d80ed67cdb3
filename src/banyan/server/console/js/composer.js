/** The box one writes in: grows with its text, Enter sends, Shift+Enter breaks the line. */

import { el, fill, freshId } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

const MAX_HEIGHT_PX = 200;

/** A text field as high as its text; `fit()` after its value was set. */
function growingField(id, placeholder, text) {
  const node = el("textarea.composer-field", {
    id,
    rows: 1,
    placeholder,
    "data-slash": true,
    value: text,
    "aria-keyshortcuts": "/",
    enterkeyhint: "send",
  });
  const fit = () => {
    node.style.height = "auto";
    node.style.height = `${Math.min(node.scrollHeight, MAX_HEIGHT_PX)}px`;
  };
  node.addEventListener("input", fit);
  requestAnimationFrame(fit);
  return { node, fit };
}

/** The round button: it sends, or stops what is under way. */
function sendButton() {
  const node = el("button.composer-send", { type: "submit" });
  const show = (busy, isEmpty) => {
    const name = t(busy ? "action.stop" : "action.send");
    node.disabled = !busy && isEmpty;
    node.setAttribute("aria-label", name);
    node.title = name;
    node.classList.toggle("is-busy", busy);
    fill(node, icon(busy ? "stop" : "send"));
  };
  return { node, show };
}

/** An input method's Enter chooses a candidate; it must not send. */
function sends(event) {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing;
}

/**
 * @param {{label: string, placeholder: string, draft: {text: string},
 *          onSend: (text: string) => void, onStop: () => void}} options
 *   `draft` keeps what is being written while the page is rebuilt
 * @param {...Node} extras what stands under the text, before the button
 */
export function createComposer({ label, placeholder, draft, onSend, onStop }, ...extras) {
  const id = freshId("composer");
  const field = growingField(id, placeholder, draft.text);
  const button = sendButton();
  let busy = false;

  function refresh() {
    draft.text = field.node.value;
    button.show(busy, draft.text.trim() === "");
  }

  function send() {
    const text = draft.text.trim();
    if (!text) return;
    field.node.value = "";
    field.fit();
    refresh();
    onSend(text);
  }

  field.node.addEventListener("input", refresh);
  field.node.addEventListener("keydown", (event) => {
    if (!sends(event)) return;
    event.preventDefault();
    if (!busy) send();
  });
  const submit = (event) => {
    event.preventDefault();
    if (busy) onStop();
    else send();
  };
  const node = el(
    `form.composer${extras.length ? "" : ".is-bare"}`,
    { on: { submit } },
    el("label.visually-hidden", { for: id }, label),
    field.node,
    el("div.composer-row", {}, el("div.composer-extras", {}, extras), button.node),
  );
  refresh();
  return {
    node,
    setBusy(value) {
      busy = value;
      refresh();
    },
  };
}
