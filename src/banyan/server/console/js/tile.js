/** A tile: one fact, large, with its name above and a line of detail below. */

import { el } from "./dom.js";

/**
 * @param {string} name
 * @param {string|number} value
 * @param {string} detail
 * @param {boolean|null} [good] whether a dot before the value says that all is well; null: no dot
 */
export function tile(name, value, detail, good = null) {
  return el(
    "div.tile",
    {},
    el("p.tile-name", {}, name),
    el("p.tile-value", {}, good === null ? null : el(`span.dot${good ? ".good" : ""}`), value),
    el("p.tile-detail", {}, detail),
  );
}
