/** One turn of the Ask page: the question, and its answer growing sentence by sentence. */

import { citationChip, placeOf, sourceList, sourceRow } from "./citation.js";
import { askAgain } from "./conversation.js";
import { dots, el, fill } from "./dom.js";
import { openWhy } from "./drawer.js";
import { icon, productMark } from "./icons.js";
import { duration, langOf, t } from "./i18n.js";
import { copyText, errorCard } from "./notices.js";

const NEAREST_SHOWN = 3;

/** Chinese sentences follow each other without a space. */
function gapAfter(text) {
  return langOf(text.slice(-3)) === "zh-CN" || /[。！？；」』”]$/.test(text) ? "" : " ";
}

/** The last word, or the last two characters where words are not parted or are long. */
const LAST_WORD = /(?:\s\S{1,20}|[^]{1,2})$/u;

/** A sentence whose chips never stand alone at the beginning of a line. */
function sentenceNode(turn, sentence) {
  const { text } = sentence;
  const chips = sentence.citations.map((one) => citationChip(one, sentence.support, turn));
  const last = LAST_WORD.exec(text)?.[0] ?? "";
  const ending = [last, chips.length > 0 && el("span.chips", {}, chips)];
  return el(
    "span.sentence",
    { lang: langOf(text) },
    text.slice(0, text.length - last.length),
    el("span.sentence-end", {}, ending),
    gapAfter(text),
  );
}

/** The answer as plain text with its numbered sources, for the clipboard. */
export function answerText(turn) {
  const places = new Map();
  const body = turn.sentences.map((sentence) => {
    for (const citation of sentence.citations) places.set(citation.number, placeOf(citation));
    const marks = sentence.citations.map((citation) => `[${citation.number}]`).join("");
    return `${sentence.text}${marks && ` ${marks}`}${gapAfter(sentence.text)}`;
  });
  const sources = [...places].map(([number, place]) => `[${number}] ${place}`);
  return `${body.join("").trim()}\n\n${sources.join("\n")}\n`;
}

function actionButton(picture, label, click) {
  const button = el(
    "button.icon-button",
    { type: "button", "aria-label": label, title: label, on: { click: () => click(button) } },
    icon(picture),
  );
  return button;
}

function footer(turn) {
  const { done } = turn;
  const mode = t(done.mode === "model" ? "mode.model" : "mode.extractive");
  return el(
    "div.answer-foot",
    {},
    el("span.answer-fact", {}, turn.state === "refused" ? t("ask.refused.fact") : mode),
    el("span.answer-fact", {}, duration(done.seconds)),
    el(
      "div.answer-actions",
      {},
      actionButton("bars", t("ask.why"), () => openWhy(turn)),
      turn.state === "done" &&
        actionButton("copy", t("action.copy"), (button) => copyText(answerText(turn), button)),
    ),
  );
}

function understood(turn) {
  const asked = turn.done?.question;
  if (!asked || asked === turn.question) return null;
  return el("p.answer-understood", {}, t("ask.understood", { question: asked }));
}

function refusal(turn) {
  const nearest = turn.passages.slice(0, NEAREST_SHOWN);
  return el(
    "div.refusal",
    {},
    el("p.refusal-title", {}, t("ask.refused.title")),
    el("p.muted", {}, t("ask.refused.text")),
    nearest.length
      ? el(
          "div.sources",
          {},
          el("h3.sources-title", {}, t("ask.refused.nearest")),
          nearest.map((passage) => sourceRow({ passage, turn })),
        )
      : null,
  );
}

function thinking() {
  return el("p.thinking", {}, dots(), el("span", {}, t("ask.searching")));
}

function ending(turn) {
  if (turn.state === "failed") return errorCard(turn.error, () => askAgain(turn));
  if (turn.state === "stopped") {
    const again = () => askAgain(turn);
    return el(
      "p.answer-stopped",
      {},
      t("ask.stopped"),
      " ",
      el("button.link-button", { type: "button", on: { click: again } }, t("action.retry")),
    );
  }
  if (turn.state === "refused") return [refusal(turn), understood(turn), footer(turn)];
  return [understood(turn), sourceList(turn), footer(turn)];
}

/**
 * A turn's node; `update()` shows what has come since. Sentences are only ever added, so that a
 * screen reader hears each once and nothing on the page jumps.
 *
 * @param {import("./conversation.js").Turn} turn
 */
export function turnView(turn) {
  const text = el("p.answer-text");
  const tail = el("div.answer-tail", {}, thinking());
  const answer = el(
    "div.answer",
    { "aria-live": "polite", "aria-busy": "true" },
    el("div.answer-mark", { "aria-hidden": "true" }, productMark()),
    el("div.answer-body", {}, text, tail),
  );
  const node = el(
    "article.turn",
    { "aria-label": turn.question },
    el("h2.question", { lang: langOf(turn.question) }, turn.question),
    answer,
  );
  let ended = false;
  node.update = () => {
    for (const sentence of turn.sentences.slice(text.childElementCount)) {
      text.append(sentenceNode(turn, sentence));
    }
    if (turn.state === "streaming" || ended) return;
    ended = true;
    if (turn.state === "refused") text.remove();
    answer.classList.add(`is-${turn.state}`);
    answer.removeAttribute("aria-busy");
    fill(tail, ending(turn));
  };
  node.update();
  return node;
}
