/** The list of files under way on the Documents page, and the questions offered when they are in. */

import { api } from "./api.js";
import { ask } from "./conversation.js";
import { el, fill, reconcile } from "./dom.js";
import { icon } from "./icons.js";
import { count, known, langOf, number, t } from "./i18n.js";
import { go } from "./router.js";
import { clearEnded, hasEnded, uploadItems } from "./uploads.js";

const ROWS_SHOWN = 60;
const DOCUMENTS_ASKED = 3;
const QUESTIONS_SHOWN = 6;

/** "embedding 12 of 61" is a stage, and how far it has come. */
const STAGE = /^(\S+) (\d+) of (\d+)$/;

function stageText(stage) {
  const [, name, done, total] = STAGE.exec(stage) ?? [null, stage];
  const words = known(`stage.${name}`, name);
  return done ? t("stage.part", { stage: words, done, total }) : words;
}

function stateText(item) {
  if (item.state === "sending") return t("upload.sending", { percent: number(item.share * 100) });
  if (item.state === "working" && item.stage) return stageText(item.stage);
  return t(`upload.${item.state}`);
}

/** The share that is done, or null where nobody knows. */
function shareOf(item) {
  if (item.state === "sending") return item.share;
  const [, , done, total] = STAGE.exec(item.stage) ?? [];
  return total ? done / total : null;
}

function row() {
  const name = el("span.upload-name");
  const state = el("span.upload-state");
  const bar = el("progress.upload-bar", { max: 1, "aria-label": t("upload.progress") });
  const reason = el("p.upload-reason");
  const picture = el("span.upload-icon");
  const node = el("li.upload", {}, picture, name, state, bar, reason);
  let shown = "";
  node.update = (item) => {
    name.textContent = item.name;
    name.title = item.name;
    state.textContent = stateText(item);
    reason.textContent = [item.reason, item.remedy].filter(Boolean).join(" ");
    reason.hidden = !reason.textContent;
    bar.hidden = hasEnded(item) || item.state === "waiting";
    const share = shareOf(item);
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
    if (shown === item.state) return;
    shown = item.state;
    node.className = `upload is-${item.state}`;
    fill(picture, icon({ done: "check", failed: "alert" }[item.state] ?? "file"));
  };
  return node;
}

/** Failed first, then what is under way, then what waits and what is done. */
const ORDER = { failed: 0, working: 1, sending: 2, waiting: 3, queued: 4, done: 5 };

function summary(items) {
  const done = items.filter((item) => item.state === "done").length;
  const failed = items.filter((item) => item.state === "failed").length;
  const parts = [t("upload.summary", { done: number(done), total: number(items.length) })];
  if (failed) parts.push(count("count.failed", failed));
  return parts.join(" · ");
}

/** The card of files under way; hidden while there are none. */
export function activityCard() {
  const heading = el("h2.activity-title");
  const rest = el("p.muted.activity-rest");
  const list = el("ul.uploads");
  const clear = el(
    "button.button.small",
    { type: "button", on: { click: clearEnded } },
    t("upload.clear"),
  );
  const node = el(
    "section.card.activity",
    { "aria-label": t("upload.title") },
    el("div.activity-head", {}, el("div", { role: "status" }, heading), clear),
    list,
    rest,
  );
  node.update = () => {
    const items = [...uploadItems()].sort((a, b) => ORDER[a.state] - ORDER[b.state]);
    node.hidden = !items.length;
    const text = summary(items);
    if (heading.textContent !== text) heading.textContent = text;
    clear.hidden = !items.some(hasEnded);
    reconcile(list, items.slice(0, ROWS_SHOWN), (item) => item.key, row);
    rest.hidden = items.length <= ROWS_SHOWN;
    rest.textContent = t("upload.more", { n: number(items.length - ROWS_SHOWN) });
  };
  node.update();
  return node;
}

async function questionsFor(base, documentIds) {
  const lists = await Promise.all(
    documentIds.slice(-DOCUMENTS_ASKED).map((id) => api.questions(base, id).catch(() => null)),
  );
  const all = lists.flatMap((answer) => answer?.questions.slice(0, QUESTIONS_SHOWN / 2) ?? []);
  return [...new Set(all)].slice(0, QUESTIONS_SHOWN);
}

function questionChip(question) {
  const jump = () => {
    go("ask");
    ask(question);
  };
  return el(
    "button.chip-question",
    { type: "button", lang: langOf(question), on: { click: jump } },
    icon("ask"),
    el("span", {}, question),
  );
}

/** Questions from the headings of the documents that have just come in. */
export function suggestionsCard(base) {
  const node = el("section.card.suggestions", { "aria-live": "polite", hidden: true });
  let shown = "";
  node.refresh = async () => {
    const ids = uploadItems()
      .filter((item) => item.state === "done" && item.documentId)
      .map((item) => item.documentId);
    if (!ids.length || shown === ids.join()) return;
    shown = ids.join();
    const questions = await questionsFor(base, ids);
    node.hidden = !questions.length;
    fill(
      node,
      el("h2", {}, t("suggest.title")),
      el("div.chips-question", {}, questions.map(questionChip)),
    );
  };
  return node;
}
