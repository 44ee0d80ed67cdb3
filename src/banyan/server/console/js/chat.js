/** The Chat page: the bare model, without documents, and what to expect of it. */

import { openConnect } from "./connect.js";
import { createComposer } from "./composer.js";
import {
  dialogueMessages,
  draft,
  isWriting,
  newDialogue,
  options,
  say,
  sayAgain,
  stopWriting,
  watchDialogue,
} from "./dialogue.js";
import { dots, el, fill, freshId, oncePerFrame } from "./dom.js";
import { icon, productMark } from "./icons.js";
import { duration, isChinese, langOf, number, t } from "./i18n.js";
import { menu } from "./menu.js";
import { copyText, errorCard } from "./notices.js";
import { prose } from "./prose.js";
import { get, on } from "./state.js";
import { createThread } from "./thread.js";

/** The packaged model, which knows English alone. */
const PACKAGED = /^smollm2-/;

function chatModels() {
  return get("models").filter((model) => model.kind === "chat");
}

function modelSelect(onChange) {
  const select = el("select.select.small", { "aria-label": t("chat.model") });
  const choose = () => {
    options.model = select.value;
    onChange();
  };
  select.addEventListener("change", choose);
  const render = () => {
    const models = chatModels();
    const label = (model) => `${model.name} · ${t(`model.state.${model.state}`)}`;
    fill(
      select,
      models.map((model) => el("option", { value: model.name }, label(model))),
    );
    if (!models.length) fill(select, el("option", { value: "" }, t("chat.no_model")));
    const still = models.some((model) => model.name === options.model);
    select.value = still ? options.model : (models[0]?.name ?? "");
    choose();
  };
  render();
  return { node: select, stop: on("models", render) };
}

function field(label, control) {
  const id = freshId("option");
  control.id = id;
  return el("div.field", {}, el("label.label", { for: id }, label), control);
}

function numberInput(name, min, max, step) {
  const input = el("input.input", { type: "number", min, max, step, value: options[name] });
  input.addEventListener("change", () => {
    const value = Math.min(Math.max(Number(input.value) || 0, min), max);
    input.value = value;
    options[name] = value;
  });
  return input;
}

function optionsPanel() {
  const system = el("textarea.input", { rows: 3, value: options.system });
  system.addEventListener("input", () => {
    options.system = system.value;
  });
  return menu(
    "details.chat-options",
    el("summary.button.small", {}, icon("settings"), t("chat.options")),
    el(
      "div.chat-options-sheet",
      {},
      field(t("chat.system"), system),
      el(
        "div.field-row",
        {},
        field(t("chat.temperature"), numberInput("temperature", 0, 2, 0.1)),
        field(t("chat.max_tokens"), numberInput("maxTokens", 1, 8192, 1)),
      ),
    ),
  );
}

function statement(kind, picture, lines) {
  return el(
    `section.statement.is-${kind}`,
    {},
    el("h2", {}, icon(picture), t(`chat.${kind}.title`)),
    el(
      "ul",
      {},
      lines.map((line) => el("li", {}, t(line))),
    ),
  );
}

/** What 135 million parameters can and cannot do, said before the first word. */
function welcome() {
  const connect = { type: "button", on: { click: () => openConnect() } };
  return el(
    "section.welcome",
    {},
    el("div.welcome-mark", {}, productMark()),
    el("h1", {}, t("chat.title")),
    el("p.welcome-text", {}, t("chat.text")),
    el(
      "div.statements",
      {},
      statement("can", "check", ["chat.can.1", "chat.can.2", "chat.can.3"]),
      statement("cannot", "close", ["chat.cannot.1", "chat.cannot.2", "chat.cannot.3"]),
    ),
    el("button.button.primary", connect, icon("plug"), t("connect.title")),
  );
}

function replyFoot(reply) {
  const tokens = reply.done?.usage.completion_tokens;
  const facts = [];
  if (tokens) {
    facts.push(t("chat.tokens", { n: number(tokens) }));
    facts.push(t("chat.speed", { n: number(tokens / reply.seconds, 1) }));
  }
  facts.push(duration(reply.seconds));
  if (reply.done?.finish_reason === "length") facts.push(t("chat.cut"));
  if (reply.state === "stopped") facts.push(t("ask.stopped"));
  const copy = el(
    "button.icon-button",
    {
      type: "button",
      "aria-label": t("action.copy"),
      title: t("action.copy"),
      on: { click: () => copyText(reply.content, copy) },
    },
    icon("copy"),
  );
  return el(
    "div.answer-foot",
    {},
    facts.map((fact) => el("span.answer-fact", {}, fact)),
    el("div.answer-actions", {}, copy),
  );
}

function replyView(reply) {
  const body = el("div.prose");
  const tail = el("div", {}, dots());
  const bubble = el(
    "div.answer",
    { "aria-live": "polite", "aria-busy": "true" },
    el("div.answer-mark", { "aria-hidden": "true" }, productMark()),
    el("div.answer-body", {}, body, tail),
  );
  let length = -1;
  bubble.update = () => {
    if (reply.content.length !== length) {
      length = reply.content.length;
      body.lang = langOf(reply.content);
      fill(body, prose(reply.content));
    }
    if (reply.state === "writing") return;
    if (bubble.getAttribute("aria-busy") === null) return;
    bubble.removeAttribute("aria-busy");
    fill(tail, reply.error ? errorCard(reply.error, () => sayAgain(reply)) : replyFoot(reply));
  };
  bubble.update();
  return bubble;
}

function messageView(message) {
  if (message.role === "assistant") return replyView(message);
  return el("p.question", { lang: langOf(message.content) }, message.content);
}

/** Shown while Chinese is written to a model that has read English alone. */
function chineseOffer() {
  const connect = { type: "button", on: { click: () => openConnect() } };
  return el(
    "div.notice.notice-hint",
    { role: "status" },
    icon("info"),
    el(
      "div.notice-body",
      {},
      el("p.notice-title", {}, t("chat.chinese.title")),
      el("p", {}, t("chat.chinese.text")),
    ),
    el("button.button.small.primary", connect, t("connect.title")),
  );
}

function chatHead(select) {
  return el("div.chat-bar", {}, select, el("div.page-actions", {}, optionsPanel(), newButton()));
}

function newButton() {
  const label = t("ask.new");
  return el(
    "button.button.small",
    { type: "button", on: { click: newDialogue } },
    icon("plus"),
    el("span.wide-only", {}, label),
    el("span.visually-hidden.narrow-only", {}, label),
  );
}

/** Whether Chinese is being written to, or was just spoken with, the packaged model. */
function wantsChinese() {
  const spoken = dialogueMessages().slice(-2);
  const written = [draft.text, ...spoken.map((message) => message.content)];
  return PACKAGED.test(options.model) && written.some(isChinese);
}

function mount(root) {
  const offer = chineseOffer();
  const judge = () => {
    offer.hidden = !wantsChinese();
  };
  const composer = createComposer({
    label: t("chat.composer"),
    placeholder: t("chat.placeholder"),
    draft,
    onSend: say,
    onStop: stopWriting,
  });
  const thread = createThread({
    label: t("chat.log"),
    welcome,
    head: () => el("h1.visually-hidden", {}, t("chat.nav")),
    view: messageView,
  });

  function render() {
    composer.setBusy(isWriting());
    judge();
    thread.show(dialogueMessages());
  }

  const select = modelSelect(judge);
  composer.node.addEventListener("input", judge);
  const dock = el("div.dock", {}, offer, composer.node);
  fill(root, el("div.page.page-ask", {}, chatHead(select.node), thread.node, dock));
  const stopWatching = watchDialogue(oncePerFrame(render));
  render();
  return () => {
    stopWatching();
    select.stop();
  };
}

export const chatPage = { mount };
