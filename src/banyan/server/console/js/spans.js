/**
 * Ranges of a document's text. The server counts characters (code points) while JavaScript counts
 * UTF-16 units, so every cut goes through here.
 */

import { el } from "./dom.js";

/**
 * Cut `text`, which begins at character `offset` of its document, along `range`.
 *
 * @param {string} text
 * @param {number} offset
 * @param {{start: number, end: number}|null} range in characters of the document
 * @returns {{text: string, inside: boolean}[]} the parts that are not empty, in order
 */
export function cut(text, offset, range) {
  const characters = Array.from(text);
  const clamp = (position) => Math.min(Math.max(position - offset, 0), characters.length);
  const start = range ? clamp(range.start) : 0;
  const end = range ? Math.max(clamp(range.end), start) : 0;
  const parts = [
    { text: characters.slice(0, start).join(""), inside: false },
    { text: characters.slice(start, end).join(""), inside: true },
    { text: characters.slice(end).join(""), inside: false },
  ];
  return parts.filter((part) => part.text !== "");
}

/** The number of characters as the server counts them. */
export function lengthOf(text) {
  let length = 0;
  for (const _ of text) length += 1;
  return length;
}

/** `text` as nodes, with what lies in `range` inside <mark>. */
export function marked(text, offset, range) {
  return cut(text, offset, range).map((part) =>
    part.inside ? el("mark", {}, part.text) : part.text,
  );
}
