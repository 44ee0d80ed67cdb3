/** The Ask page: sample questions first, then a conversation whose sentences point at passages. */

import { api } from "./api.js";
import { turnView } from "./answer.js";
import { SAMPLE_BASE } from "./bases.js";
import { createComposer } from "./composer.js";
import { openConnect } from "./connect.js";
import {
  answerMode,
  ask,
  conversationTurns,
  draft,
  isAnswering,
  newConversation,
  setAnswerMode,
  stopAnswer,
  watchConversation,
} from "./conversation.js";
import { dots, el, fill, oncePerFrame } from "./dom.js";
import { icon, productMark } from "./icons.js";
import { isChinese, langOf, language, t } from "./i18n.js";
import { errorCard, toastError } from "./notices.js";
import { refreshBases } from "./refresh.js";
import { currentBase, get, on } from "./state.js";
import { createThread } from "./thread.js";

const SOON_MS = 1500;

/** What writes the answers, and where to change it. */
function modeControl() {
  const node = el("div.mode");
  const render = () => {
    const writer = get("answerModel");
    if (!writer) {
      fill(
        node,
        el("span.pill", { title: t("mode.extractive.hint") }, t("mode.extractive")),
        el(
          "button.link-button",
          { type: "button", on: { click: () => openConnect() } },
          t("mode.connect"),
        ),
      );
      return;
    }
    const select = el(
      "select.select.small",
      { "aria-label": t("mode.label"), on: { change: () => setAnswerMode(select.value) } },
      el("option", { value: "" }, t("mode.written", { model: writer })),
      el("option", { value: "extractive" }, t("mode.extractive")),
    );
    select.value = answerMode();
    fill(node, select);
  };
  render();
  return { node, stop: on("answerModel", render) };
}

function questionButton(question) {
  return el(
    "button.sample",
    { type: "button", lang: langOf(question), on: { click: () => ask(question) } },
    el("span", {}, question),
    icon("arrow"),
  );
}

/** The questions in columns by language, the interface's own first. */
function questionColumns(questions) {
  const chinese = questions.filter(isChinese);
  const english = questions.filter((question) => !isChinese(question));
  const columns = [
    [english, "English", "en"],
    [chinese, "中文", "zh-CN"],
  ].filter(([list]) => list.length);
  if (language() === "zh") columns.reverse();
  return columns.map(([list, name, lang]) =>
    el(
      "section.sample-column",
      { "aria-label": name, lang },
      columns.length > 1 && el("h2.sample-language", {}, name),
      list.map(questionButton),
    ),
  );
}

function skeletonColumns() {
  const column = () =>
    el(
      "div.sample-column",
      {},
      [1, 2, 3].map(() => el("div.skeleton.sample")),
    );
  return [column(), column()];
}

async function loadQuestions(node, base) {
  try {
    const { questions } = await api.questions(base);
    fill(node, questionColumns(questions));
  } catch (error) {
    if (error.status === 404) fill(node);
    else
      fill(
        node,
        errorCard(error, () => loadQuestions(node, base)),
      );
  }
}

function emptyBase() {
  return el(
    "div.empty-note",
    {},
    el("p", {}, get("base") ? t("ask.empty.documents") : t("ask.empty.bases")),
    el("a.button.primary", { href: "#/documents" }, icon("upload"), t("ask.empty.add")),
  );
}

/** Whether pages of the sample cannot be found yet. */
function beingRead(base) {
  return base.id === SAMPLE_BASE && (base.reading > 0 || !base.documents);
}

/** What is said under the sample's questions, and while its pages are still being read. */
function sampleHint(base) {
  if (!beingRead(base)) return el("p.sample-hint", {}, t("ask.sample.hint"));
  return el("p.sample-hint.thinking", { role: "status" }, dots(), t("ask.sample.reading"));
}

let looking = 0;

/** Ask for the list of bases again soon, as long as the page still waits for it. */
function lookAgain(node) {
  clearTimeout(looking);
  looking = setTimeout(() => node.isConnected && refreshBases().catch(toastError), SOON_MS);
}

/** The page before the first question; `refresh()` follows the list of bases. */
function welcome() {
  const body = el("div.samples", {}, skeletonColumns());
  const hint = el("div");
  const node = el(
    "section.welcome",
    {},
    el("div.welcome-mark", {}, productMark()),
    el("h1", {}, t("ask.title")),
    el("p.welcome-text", {}, t("ask.text")),
    body,
    hint,
  );
  let shown = null;
  node.refresh = () => {
    const base = currentBase();
    if (!base) {
      if (get("basesKnown")) fill(body, emptyBase());
      return;
    }
    const isSample = base.id === SAMPLE_BASE;
    if (beingRead(base)) lookAgain(node);
    const key = `${base.id}:${base.documents}:${base.reading}`;
    if (shown === key) return;
    shown = key;
    fill(hint, isSample && sampleHint(base));
    if (beingRead(base)) fill(body, skeletonColumns());
    else if (base.documents || isSample) loadQuestions(body, base.id);
    else fill(body, emptyBase());
  };
  node.refresh();
  return node;
}

function conversationHead() {
  return el(
    "div.thread-head",
    {},
    el("h1", {}, currentBase()?.title ?? t("ask.nav")),
    el(
      "button.button.small",
      { type: "button", on: { click: newConversation } },
      icon("plus"),
      t("ask.new"),
    ),
  );
}

function mount(root) {
  const mode = modeControl();
  const composer = createComposer(
    {
      label: t("ask.composer"),
      placeholder: t("ask.placeholder"),
      draft,
      onSend: ask,
      onStop: stopAnswer,
    },
    mode.node,
  );
  const thread = createThread({
    label: t("ask.log"),
    welcome,
    head: conversationHead,
    view: turnView,
  });

  function render() {
    composer.setBusy(isAnswering());
    thread.show(conversationTurns());
  }

  fill(root, el("div.page.page-ask", {}, thread.node, el("div.dock", {}, composer.node)));
  const stopWatching = watchConversation(oncePerFrame(render));
  const stopBases = on("bases", () => thread.start()?.refresh());
  render();
  return () => {
    stopWatching();
    stopBases();
    mode.stop();
  };
}

export const askPage = { mount };
