/** The side panel: a document opened at the cited words, and why a passage was chosen. */

import { api } from "./api.js";
import { blockNode, pageMarker } from "./blocks.js";
import { openDialog } from "./dialog.js";
import { el, fill } from "./dom.js";
import { count, date, known, langOf, t } from "./i18n.js";
import { errorCard } from "./notices.js";
import { lengthOf } from "./spans.js";
import { passageName, traceSteps } from "./trace.js";
import { scoreBars } from "./why.js";

/** Blocks rendered around the cited one at first, and added by each "show more". */
const WINDOW = 120;

function skeleton() {
  return el(
    "div.blocks",
    {},
    [1, 2, 3, 4, 5].map(() => el("div.skeleton.block-skeleton")),
  );
}

function meta(record) {
  const facts = [
    record.path,
    record.pages ? count("count.pages", record.pages) : null,
    known(`language.${record.language}`, record.language),
    date(record.added_at),
  ];
  return el("p.drawer-meta", {}, facts.filter(Boolean).join(" · "));
}

/** The index of the block that holds the first character of `range`. */
export function blockAt(blocks, range) {
  if (!range) return 0;
  const after = blocks.findIndex((block) => block.start + lengthOf(block.text) > range.start);
  return after < 0 ? 0 : after;
}

/** A slice of the blocks, with page markers where the page changes. */
function renderBlocks(blocks, from, to, range) {
  return blocks.slice(from, to).map((block, index) => {
    const before = blocks[from + index - 1];
    const turned = block.page !== null && block.page !== before?.page;
    return [turned ? pageMarker(block.page) : null, blockNode(block, range)];
  });
}

/** The document's text around `range`; more of it comes when asked for, above and below. */
function blocksView(blocks, range) {
  const middle = blockAt(blocks, range);
  let from = Math.max(middle - WINDOW, 0);
  let to = Math.min(middle + WINDOW, blocks.length);
  const node = el("div.blocks", { lang: langOf(blocks[middle]?.text ?? "") });
  const more = (label, click) =>
    el("button.button.small.more", { type: "button", on: { click } }, label);

  function render() {
    fill(
      node,
      from > 0 &&
        more(t("document.earlier"), () => ((from = Math.max(from - WINDOW, 0)), render())),
      renderBlocks(blocks, from, to, range),
      to < blocks.length &&
        more(t("document.later"), () => ((to = Math.min(to + WINDOW, blocks.length)), render())),
    );
  }
  render();
  return node;
}

function documentView(documentId, range) {
  const node = el("div.drawer-document", { tabindex: "-1" }, skeleton());
  const load = async () => {
    try {
      const { document: record, blocks } = await api.document(documentId);
      if (!blocks.length) {
        fill(node, meta(record), el("p.muted", {}, record.reason || t("document.empty")));
        return;
      }
      fill(node, meta(record), blocksView(blocks, range));
      node.querySelector("mark")?.scrollIntoView({ block: "center" });
    } catch (error) {
      fill(node, errorCard(error, load));
    }
  };
  load();
  return node;
}

function whyView(passage, turn) {
  return el(
    "div.drawer-why",
    {},
    el("p.muted", {}, t("why.text")),
    el("h3", {}, t("why.scores")),
    scoreBars(passage, turn.passages),
    turn.done && [el("h3", {}, t("why.steps")), traceSteps(turn)],
  );
}

/** Two views under two tabs; arrow keys move between them. */
function tabs(entries) {
  const panel = el("div.tab-panel", { role: "tabpanel" });
  const views = new Map();
  const buttons = entries.map(([label], index) =>
    el("button.tab", { type: "button", role: "tab", on: { click: () => select(index) } }, label),
  );
  function select(index) {
    buttons.forEach((button, at) => {
      button.setAttribute("aria-selected", String(at === index));
      button.tabIndex = at === index ? 0 : -1;
    });
    if (!views.has(index)) views.set(index, entries[index][1]());
    panel.setAttribute("aria-label", entries[index][0]);
    fill(panel, views.get(index));
  }
  const list = el("div.tabs", { role: "tablist" }, buttons);
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length;
    select(next);
    buttons[next].focus();
  });
  select(0);
  return [list, panel];
}

/**
 * Open a document; with a range its words are marked and scrolled to, and with the passage and the
 * turn it came from there is a second tab that says why.
 *
 * @param {{documentId: string, title?: string, range?: {start: number, end: number}|null,
 *          passage?: Object, turn?: import("./conversation.js").Turn}} what
 */
export function openDocument({ documentId, title, range = null, passage, turn }) {
  const heading = title ?? range?.title ?? passage?.title ?? t("document.tab");
  const read = () => documentView(documentId, range);
  const content =
    passage && turn
      ? tabs([
          [t("document.tab"), read],
          [t("why.title"), () => whyView(passage, turn)],
        ])
      : el("div.tab-panel", {}, read());
  return openDialog({ title: heading, kind: "drawer" }, content);
}

function candidate(passage, turn) {
  const cited = turn.sentences.some((sentence) =>
    sentence.citations.some((citation) => citation.passage_id === passage.id),
  );
  return el(
    "details.candidate",
    {},
    el(
      "summary",
      { lang: langOf(passage.title) },
      el("span.candidate-title", {}, passageName(passage)),
      cited && el("span.pill.pill-good", {}, t("why.cited")),
    ),
    el("p.candidate-text", { lang: langOf(passage.text) }, passage.text),
    scoreBars(passage, turn.passages),
  );
}

/** Open the account of a whole question: what was found, with scores, and how long each step took. */
export function openWhy(turn) {
  openDialog(
    { title: t("why.question"), kind: "drawer" },
    el(
      "div.tab-panel.drawer-why",
      {},
      el("p.why-asked", { lang: langOf(turn.question) }, turn.done.question),
      el("h3", {}, t("why.steps")),
      traceSteps(turn),
      el("h3", {}, t("why.passages")),
      turn.passages.map((passage) => candidate(passage, turn)),
    ),
  );
}
