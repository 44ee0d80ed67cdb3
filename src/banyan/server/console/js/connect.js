/** The dialog that connects a bigger model: any OpenAI-compatible server, tried before it is kept. */

import { api } from "./api.js";
import { options } from "./dialogue.js";
import { openDialog } from "./dialog.js";
import { dots, el, fill, freshId } from "./dom.js";
import { icon } from "./icons.js";
import { langOf, t } from "./i18n.js";
import { errorCard, toastError } from "./notices.js";
import { refreshModels } from "./refresh.js";

function field(label, input, hint) {
  input.id = freshId("connect");
  const note = hint && el("p.hint", { id: freshId("hint") }, hint);
  if (note) input.setAttribute("aria-describedby", note.id);
  return el("div.field", {}, el("label.label", { for: input.id }, label), input, note);
}

function inputs() {
  const plain = { autocomplete: "off", spellcheck: "false" };
  return {
    url: el("input.input", {
      ...plain,
      type: "url",
      required: true,
      placeholder: "http://127.0.0.1:11434/v1",
    }),
    key: el("input.input", { ...plain, type: "password" }),
    model: el("input.input", plain),
  };
}

function busy(text) {
  return el("p.connect-busy", { role: "status" }, dots(), text);
}

async function letWrite(name, dialog) {
  try {
    await api.chooseAnswerModel(name);
    await refreshModels();
  } catch (error) {
    toastError(error);
  }
  dialog.close();
}

/** What the test call brought, and the offer to let this model write the answers. */
function success(connection, dialog) {
  const rest = el(
    "button.button",
    { type: "button", on: { click: () => dialog.close() } },
    t("connect.chat_only"),
  );
  requestAnimationFrame(() => rest.focus());
  return el(
    "div.connect-good",
    { role: "status" },
    el("p.notice-title", {}, icon("check"), t("connect.works", { name: connection.name })),
    connection.sample &&
      el("blockquote.quote", { lang: langOf(connection.sample) }, connection.sample),
    el(
      "div.dialog-actions",
      {},
      rest,
      el(
        "button.button.primary",
        { type: "button", on: { click: () => letWrite(connection.name, dialog) } },
        t("connect.write"),
      ),
    ),
  );
}

function foundServer(server, url, model) {
  const take = () => {
    url.value = server.url;
    model.value = server.models[0] ?? "";
    url.focus();
  };
  return el(
    "button.found",
    { type: "button", on: { click: take } },
    icon("plug"),
    el(
      "span.source-text",
      {},
      el("span.source-title", {}, server.url),
      el("span.source-detail", {}, server.models.slice(0, 4).join(", ")),
    ),
  );
}

function discovery({ url, model }) {
  const list = el("div.found-list");
  const look = async () => {
    fill(list, busy(t("connect.looking")));
    try {
      const { found } = await api.discover();
      if (found.length)
        fill(
          list,
          found.map((server) => foundServer(server, url, model)),
        );
      else fill(list, el("p.muted", { role: "status" }, t("connect.none")));
    } catch (error) {
      fill(list, errorCard(error, look));
    }
  };
  return el(
    "div.discovery",
    {},
    el(
      "button.button.small",
      { type: "button", on: { click: look } },
      icon("search"),
      t("connect.discover"),
    ),
    el("span.hint", {}, t("connect.ports")),
    list,
  );
}

export function openConnect() {
  const { url, key, model } = inputs();
  const result = el("div.connect-result");
  const button = el("button.button.primary", { type: "submit" }, t("connect.test"));

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    fill(result, busy(t("connect.testing")));
    const wanted = { url: url.value.trim() };
    if (key.value) wanted.key = key.value;
    if (model.value.trim()) wanted.model = model.value.trim();
    try {
      const connection = await api.connect(wanted);
      options.model = connection.name;
      await refreshModels();
      fill(form, success(connection, dialog));
    } catch (error) {
      fill(result, errorCard(error));
      button.disabled = false;
    }
  }

  const form = el(
    "form.form",
    { on: { submit } },
    el("p.muted", {}, t("connect.text")),
    discovery({ url, model }),
    field(t("connect.url"), url),
    field(t("connect.key"), key, t("connect.key.hint")),
    field(t("connect.model"), model, t("connect.model.hint")),
    el("div.dialog-actions", {}, button),
    result,
  );
  const dialog = openDialog({ title: t("connect.title") }, form);
  url.focus();
  return dialog;
}
