/** A button that opens a small sheet; a press elsewhere or Esc closes it. */

import { el } from "./dom.js";

/**
 * @param {string} spec tag and classes, as for `el`: "details.chat-options"
 * @param {HTMLElement} summary
 * @param {HTMLElement} sheet
 */
export function menu(spec, summary, sheet) {
  return el(spec, { "data-menu": true }, summary, sheet);
}

function openMenus() {
  return [...document.querySelectorAll("details[data-menu][open]")];
}

addEventListener("pointerdown", (event) => {
  for (const open of openMenus()) if (!open.contains(event.target)) open.open = false;
});

addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of openMenus()) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
