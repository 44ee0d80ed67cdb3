/** Modal dialogs on the <dialog> element: the browser traps the focus, Esc closes, focus returns. */

import { el, freshId } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

/**
 * Show a modal dialog with a heading and a close button; it leaves the page when it closes.
 *
 * @param {{title: string, kind?: string, onClose?: () => void}} options
 * @param {...(Node|string)} content
 * @returns {HTMLDialogElement}
 */
export function openDialog({ title, kind = "modal", onClose = () => {} }, ...content) {
  const heading = freshId("dialog");
  const opener = document.activeElement;
  const close = el(
    "button.icon-button",
    { type: "button", "aria-label": t("action.close"), on: { click: () => dialog.close() } },
    icon("close"),
  );
  const dialog = el(
    `dialog.${kind}`,
    { "aria-labelledby": heading },
    el("header.dialog-head", {}, el("h2", { id: heading }, title), close),
    el("div.dialog-body", {}, content),
  );
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // the backdrop belongs to the dialog itself
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (opener?.isConnected) opener.focus();
    onClose();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Ask before something that cannot be taken back (`kind` "danger") or needs consent ("primary").
 *
 * @param {{title: string, text: string, action: string, kind?: "danger"|"primary"}} question
 * @returns {Promise<boolean>}
 */
export function confirmDialog({ title, text, action, kind = "danger" }) {
  return new Promise((resolve) => {
    let answer = false;
    const finish = (value) => () => {
      answer = value;
      dialog.close();
    };
    const buttons = el(
      "div.dialog-actions",
      {},
      el("button.button", { type: "button", on: { click: finish(false) } }, t("action.cancel")),
      el(`button.button.${kind}`, { type: "button", on: { click: finish(true) } }, action),
    );
    const dialog = openDialog(
      { title, onClose: () => resolve(answer) },
      el("p", {}, text),
      buttons,
    );
    buttons.firstChild.focus();
  });
}
