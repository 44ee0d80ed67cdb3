/**
 * A tiny renderer for what a model writes: paragraphs, lists, headings, bold and code, as DOM nodes.
 * Links, pictures and markup stay the characters they are.
 */

import { el } from "./dom.js";

const FENCE = /^\s*```/;
const ITEM = /^\s*(?:[-*•]|(\d+)[.)])\s+/;
const HEADING = /^#{1,6}\s+/;
const INLINE = /(`[^`\n]+`|\*\*[^*\n]+\*\*)/;

function inline(text) {
  return text.split(INLINE).map((part) => {
    if (part.length > 2 && part.startsWith("`") && part.endsWith("`")) {
      return el("code", {}, part.slice(1, -1));
    }
    if (part.length > 4 && part.startsWith("**") && part.endsWith("**")) {
      return el("strong", {}, part.slice(2, -2));
    }
    return part;
  });
}

/** Lines from `from` on for as long as `belongs` says so. */
function run(lines, from, belongs) {
  let to = from;
  while (to < lines.length && belongs(lines[to])) to += 1;
  return to;
}

function codeBlock(lines, from) {
  const to = run(lines, from + 1, (line) => !FENCE.test(line));
  return [el("pre", { tabindex: "0" }, lines.slice(from + 1, to).join("\n")), to + 1];
}

function listBlock(lines, from) {
  const first = ITEM.exec(lines[from])[1];
  const to = run(lines, from, (line) => ITEM.test(line));
  const items = lines.slice(from, to).map((line) => el("li", {}, inline(line.replace(ITEM, ""))));
  return [first ? el("ol", { start: first }, items) : el("ul", {}, items), to];
}

function isPlain(line) {
  return line.trim() !== "" && !FENCE.test(line) && !ITEM.test(line) && !HEADING.test(line);
}

function nextBlock(lines, from) {
  const line = lines[from];
  if (FENCE.test(line)) return codeBlock(lines, from);
  if (ITEM.test(line)) return listBlock(lines, from);
  if (HEADING.test(line)) return [el("h4", {}, inline(line.replace(HEADING, ""))), from + 1];
  const to = run(lines, from, isPlain);
  return [el("p", {}, inline(lines.slice(from, to).join("\n"))), to];
}

/**
 * @param {string} text
 * @returns {HTMLElement[]}
 */
export function prose(text) {
  const lines = text.split("\n");
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at].trim() === "") {
      at += 1;
      continue;
    }
    const [node, next] = nextBlock(lines, at);
    nodes.push(node);
    at = next;
  }
  return nodes;
}
