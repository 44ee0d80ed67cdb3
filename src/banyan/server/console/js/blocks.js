/** A document's blocks as the console shows them: always text, never the document's own markup. */

import { el } from "./dom.js";
import { t } from "./i18n.js";
import { lengthOf, marked } from "./spans.js";

/** Lines of a text with the character each begins at. */
function lines(text, offset) {
  let at = offset;
  return text.split("\n").map((line) => {
    const start = at;
    at += lengthOf(line) + 1;
    return { line, start };
  });
}

/** Indent (two spaces a level), then a bullet or a number, as parsers write list items. */
const ITEM = /^(\s*)(?:[-*•·]\s+|(?=\d+[.)]\s))?/;
const DEEPEST = 4;

function list(block, range) {
  const items = lines(block.text, block.start).map(({ line, start }) => {
    const [lead, indent] = ITEM.exec(line);
    const depth = Math.min(Math.floor(indent.length / 2), DEEPEST);
    const kind = /^\d/.test(line.slice(lead.length)) ? ".is-numbered" : "";
    const text = marked(line.slice(lead.length), start + lead.length, range);
    return el(`li.depth-${depth}${kind}`, {}, text);
  });
  return el("ul.block", {}, items);
}

/** The cells of a Markdown row with where each begins; an escaped bar does not end a cell. */
export function cells(line, start) {
  const found = [];
  const inner = /^\s*\|?/.exec(line)[0].length;
  let at = start + inner;
  for (const piece of line
    .slice(inner)
    .replace(/\|\s*$/, "")
    .split(/(?<!\\)\|/)) {
    const lead = /^\s*/.exec(piece)[0].length;
    found.push({ text: piece.trim(), start: at + lead });
    at += lengthOf(piece) + 1;
  }
  return found;
}

const RULE = /^\s*\|?[\s:|-]*-[\s:|-]*$/;

function table(block, range) {
  const rows = lines(block.text, block.start).filter(({ line }) => !RULE.test(line));
  const row =
    (tag) =>
    ({ line, start }) =>
      el(
        "tr",
        {},
        cells(line, start).map((cell) => el(tag, {}, marked(cell.text, cell.start, range))),
      );
  return el(
    "div.block.table-scroll",
    { tabindex: "0", role: "group", "aria-label": t("document.table") },
    el(
      "table.block-table",
      {},
      el("thead", {}, rows.slice(0, 1).map(row("th"))),
      el("tbody", {}, rows.slice(1).map(row("td"))),
    ),
  );
}

/** Headings in a drawer start under its own title, so level 1 becomes h3. */
function heading(block, range) {
  const level = Math.min(block.level + 2, 6);
  return el(`h${level}.block`, {}, marked(block.text, block.start, range));
}

const KINDS = {
  heading,
  list,
  table,
  code: (block, range) => el("pre.block", {}, marked(block.text, block.start, range)),
  paragraph: (block, range) => el("p.block", {}, marked(block.text, block.start, range)),
};

/**
 * @param {{kind: string, text: string, level: number, page: number|null, start: number}} block
 * @param {{start: number, end: number}|null} range what to mark, in characters of the document
 */
export function blockNode(block, range) {
  return (KINDS[block.kind] ?? KINDS.paragraph)(block, range);
}

/** The line that says where a page begins. */
export function pageMarker(page) {
  return el("p.page-marker", {}, el("span", {}, t("page.long", { page })));
}
