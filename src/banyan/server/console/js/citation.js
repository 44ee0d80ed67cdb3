/** A citation's chip, and the card with the quoted passage that shows on hover, focus or tap. */

import { el, fill, freshId } from "./dom.js";
import { openDocument } from "./drawer.js";
import { icon } from "./icons.js";
import { langOf, number, t } from "./i18n.js";
import { marked } from "./spans.js";

const GAP_PX = 8;
const HIDE_AFTER_MS = 160;
const EXCERPT = 160;

let card = null;
let hiding = 0;

/** "Title · page 3", for lists and cards. */
export function placeOf({ title, page }) {
  return page === null || page === undefined ? title : `${title} · ${t("page.short", { page })}`;
}

/** The passage a citation points into, where it was among those found. */
function passageOf(citation, turn) {
  return turn.passages.find((passage) => passage.id === citation.passage_id);
}

function quoteBody(citation, passage) {
  if (!passage) return el("blockquote.quote", {}, el("mark", {}, citation.quote));
  return el("blockquote.quote", {}, marked(passage.text, passage.start, citation));
}

function cardFor(citation, passage, support, open) {
  const path = passage?.heading_path.filter((heading) => heading !== citation.title) ?? [];
  const heading = path.join(" › ");
  return el(
    "div.citation-card",
    { id: freshId("citation"), role: "tooltip", lang: langOf(citation.quote) },
    el("p.citation-place", {}, icon("file"), el("span", {}, placeOf(citation))),
    heading && el("p.citation-heading", {}, heading),
    quoteBody(citation, passage),
    el(
      "div.citation-foot",
      {},
      el("span", {}, t("citation.support", { percent: number(support * 100) })),
      el(
        "button.link-button",
        { type: "button", tabindex: "-1", on: { click: open } },
        t("citation.open"),
      ),
    ),
  );
}

/** Put the card under its chip, or above where there is more room, inside the window. */
function place(node, chip) {
  const at = chip.getBoundingClientRect();
  const { width, height } = node.getBoundingClientRect();
  const left = Math.min(Math.max(at.left - 24, GAP_PX), innerWidth - width - GAP_PX);
  const below = at.bottom + GAP_PX;
  const fits = below + height <= innerHeight - GAP_PX;
  node.style.left = `${Math.max(left, GAP_PX)}px`;
  node.style.top = `${fits ? below : Math.max(at.top - height - GAP_PX, GAP_PX)}px`;
}

export function hideCitation() {
  clearTimeout(hiding);
  card?.chip.removeAttribute("aria-describedby");
  card?.node.remove();
  card = null;
}

function hideSoon() {
  clearTimeout(hiding);
  hiding = setTimeout(hideCitation, HIDE_AFTER_MS);
}

function show(chip, node) {
  clearTimeout(hiding);
  if (card?.chip === chip) return;
  hideCitation();
  card = { chip, node };
  node.addEventListener("pointerenter", () => clearTimeout(hiding));
  node.addEventListener("pointerleave", hideSoon);
  document.body.append(node);
  place(node, chip);
  node.querySelector("mark")?.scrollIntoView({ block: "nearest" });
  chip.setAttribute("aria-describedby", node.id);
}

addEventListener("keydown", (event) => event.key === "Escape" && hideCitation());
addEventListener("hashchange", hideCitation);
addEventListener("scroll", (event) => !card?.node.contains(event.target) && hideCitation(), true);
addEventListener("pointerdown", (event) => {
  if (card && !card.node.contains(event.target) && !card.chip.contains(event.target)) {
    hideCitation();
  }
});

/**
 * The numbered chip after a sentence. Hover or focus shows the passage; a click opens the document,
 * and on a touch screen the first tap shows the passage.
 *
 * @param {Object} citation
 * @param {number} support
 * @param {import("./conversation.js").Turn} turn
 */
export function citationChip(citation, support, turn) {
  const passage = passageOf(citation, turn);
  let returning = false;
  const open = () => {
    hideCitation();
    returning = true; // the focus comes back when the document closes; the card should not
    openDocument({ documentId: citation.document_id, range: citation, passage, turn });
  };
  const reveal = () => show(chip, cardFor(citation, passage, support, open));
  let touched = false;
  const chip = el(
    "button.chip-citation",
    {
      type: "button",
      "aria-label": t("citation.label", { number: citation.number, place: placeOf(citation) }),
      on: {
        pointerdown: (event) => {
          touched = event.pointerType === "touch" && card?.chip !== chip;
        },
        pointerenter: (event) => event.pointerType === "mouse" && reveal(),
        pointerleave: (event) => event.pointerType === "mouse" && hideSoon(),
        focus: () => {
          if (chip.matches(":focus-visible") && !returning) reveal();
          returning = false;
        },
        blur: hideSoon,
        click: () => (touched ? reveal() : open()),
      },
    },
    String(citation.number),
  );
  return chip;
}

/** A passage's text; the first of a document begins with its title, which stands there already. */
function withoutTitle({ text, title }) {
  return text.startsWith(title) ? text.slice(title.length).trim() : text;
}

/** A place one can open, as a row: number or icon, title and page, heading path. */
export function sourceRow({ number: mark, passage, citation, turn }) {
  const source = citation ?? passage;
  const open = () => openDocument({ documentId: source.document_id, range: source, passage, turn });
  const row = el(
    "button.source",
    { type: "button", on: { click: open }, lang: langOf(source.title) },
    el("span.source-mark", {}, mark ? String(mark) : icon("file")),
    el("span.source-text", {}, el("span.source-title", {}, placeOf(source))),
  );
  const path = passage?.heading_path.filter((heading) => heading !== source.title) ?? [];
  const detail = path.join(" › ") || (citation?.quote ?? withoutTitle(passage)).slice(0, EXCERPT);
  if (detail) row.lastChild.append(el("span.source-detail", {}, detail));
  return row;
}

/** The sources of an answer, each number once. */
export function sourceList(turn) {
  const byNumber = new Map();
  for (const sentence of turn.sentences) {
    for (const citation of sentence.citations) {
      if (!byNumber.has(citation.number)) byNumber.set(citation.number, citation);
    }
  }
  const rows = [...byNumber.values()].map((citation) =>
    sourceRow({
      number: citation.number,
      citation,
      passage: passageOf(citation, turn),
      turn,
    }),
  );
  return fill(el("div.sources"), el("h3.sources-title", {}, t("ask.sources")), rows);
}
