/** The few lines with which a program uses this server through the official `openai` package. */

import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";
import { copyText } from "./notices.js";
import { get } from "./state.js";

function python(baseUrl, model, locked) {
  return [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${baseUrl}", api_key="${locked ? "YOUR_KEY" : "none"}")`,
    "answer = client.chat.completions.create(",
    `    model="${model}",`,
    '    messages=[{"role": "user", "content": "What is a banyan tree?"}],',
    ")",
    "print(answer.choices[0].message.content)",
  ].join("\n");
}

function curl(baseUrl, model, locked) {
  return [
    `curl ${baseUrl}/chat/completions \\`,
    ...(locked ? ['  -H "Authorization: Bearer YOUR_KEY" \\'] : []),
    '  -H "Content-Type: application/json" \\',
    `  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'`,
  ].join("\n");
}

/** @param {{base_url?: string, model?: string}} facts */
export function snippetCard(facts = {}) {
  const baseUrl = facts.base_url || `${location.origin}/v1`;
  const locked = get("session")?.keys_required ?? false;
  const base = get("base");
  const models = [facts.model, base && `base:${base}`].filter(Boolean);
  const select = el(
    "select.select.small",
    { "aria-label": t("snippet.model"), on: { change: () => show() } },
    models.map((name) => el("option", { value: name }, name)),
  );
  const form = el(
    "select.select.small",
    { "aria-label": t("snippet.language"), on: { change: () => show() } },
    el("option", { value: "python" }, "Python"),
    el("option", { value: "curl" }, "curl"),
  );
  const code = el("code");
  const copy = el(
    "button.button.small",
    { type: "button", on: { click: () => copyText(code.textContent, copy) } },
    icon("copy"),
    t("action.copy"),
  );
  const show = () => {
    const write = form.value === "curl" ? curl : python;
    fill(code, write(baseUrl, select.value, locked));
  };
  show();
  return el(
    "section.card",
    {},
    el(
      "div.card-head",
      {},
      el("h2", {}, t("snippet.title")),
      el("div.snippet-choice", {}, models.length > 1 && select, form, copy),
    ),
    el("p.muted", {}, t("snippet.text")),
    el("pre.snippet", { tabindex: "0" }, code),
  );
}
