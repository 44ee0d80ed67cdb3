/** Saying what happened: errors with their remedy, short-lived toasts, and removals one can undo. */

import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

const TOAST_MS = 5000;

/** An error's message and remedy in words; what the server said stands as it said it. */
export function explain(error) {
  if (error.code === "unreachable" || error.code === "cut_off") {
    return { message: t(`error.${error.code}`), remedy: t(`error.${error.code}.remedy`) };
  }
  return { message: error.message || t("error.unknown"), remedy: error.remedy ?? "" };
}

/**
 * A card that shows an error, with a button to try again where that makes sense.
 *
 * @param {Error} error
 * @param {(() => void)|null} [retry]
 */
export function errorCard(error, retry = null) {
  const { message, remedy } = explain(error);
  return el(
    "div.notice.notice-error",
    { role: "alert" },
    icon("alert"),
    el("div.notice-body", {}, el("p.notice-title", {}, message), remedy && el("p", {}, remedy)),
    retry && el("button.button.small", { type: "button", on: { click: retry } }, t("action.retry")),
  );
}

/** Show a line at the bottom of the window for a few seconds. */
export function toast(text, action = null) {
  const dismiss = () => node.remove();
  const button =
    action &&
    el(
      "button.button.small.plain",
      { type: "button", on: { click: () => (dismiss(), action.run()) } },
      action.label,
    );
  const node = el("div.toast", {}, el("span", {}, text), button);
  document.getElementById("toasts").append(node);
  setTimeout(dismiss, TOAST_MS);
  return node;
}

export function toastError(error) {
  const { message, remedy } = explain(error);
  toast(remedy ? `${message} ${remedy}` : message);
}

/**
 * Do `work` after the toast has gone, unless it is undone before. Leaving the page does it at once.
 */
export function undoable(text, work, undo) {
  let settled = false;
  const settle = (action) => () => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    removeEventListener("pagehide", commit);
    action();
  };
  const commit = settle(work);
  const timer = setTimeout(commit, TOAST_MS);
  addEventListener("pagehide", commit);
  toast(text, { label: t("action.undo"), run: settle(undo) });
}

/** Copy text, and say so on the button that was pressed. */
export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    toast(t("error.clipboard"));
    return;
  }
  const before = [...button.childNodes];
  fill(button, icon("check"), button.classList.contains("icon-button") ? null : t("action.copied"));
  toast(t("action.copied"));
  setTimeout(() => fill(button, before), 1500);
}
