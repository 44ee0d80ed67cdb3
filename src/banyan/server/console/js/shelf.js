/** The models on the System page: what is installed or connected, and what the catalogue offers. */

import { api } from "./api.js";
import { openConnect } from "./connect.js";
import { confirmDialog } from "./dialog.js";
import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { known, number, size, t } from "./i18n.js";
import { errorCard, toast, toastError } from "./notices.js";
import { refreshModels } from "./refresh.js";
import { on } from "./state.js";

/** Pulls under way, by name, so that they outlive the page. */
const pulls = new Map();

async function removeModel(model, reload) {
  const sure = await confirmDialog({
    title: t("model.remove.title", { name: model.name }),
    text: t("model.remove.text"),
    action: t("action.remove"),
  });
  if (!sure) return;
  try {
    await api.removeModel(model.name);
    await reload();
    toast(t("model.removed", { name: model.name }));
  } catch (error) {
    toastError(error);
  }
}

function facts(model) {
  const parts = [
    known(`model.kind.${model.kind}`, model.kind),
    model.size_bytes ? size(model.size_bytes) : null,
    model.licence,
    model.context_length ? t("model.context", { n: number(model.context_length) }) : null,
  ];
  return parts.filter(Boolean).join(" · ");
}

function modelText(model) {
  return el(
    "div.model-text",
    {},
    el("p.model-name", {}, model.name),
    el("p.model-facts", {}, facts(model)),
    model.note && el("p.model-note", {}, model.note),
  );
}

const GOOD = new Set(["ready", "installed", "remote"]);

function modelRow(model, isBundled, reload) {
  const label = t("model.remove.label", { name: model.name });
  const remove = el(
    "button.icon-button",
    {
      type: "button",
      "aria-label": label,
      title: t("action.remove"),
      on: { click: () => removeModel(model, reload) },
    },
    icon("trash"),
  );
  return el(
    "li.model",
    {},
    modelText(model),
    el(
      `span.pill${GOOD.has(model.state) ? ".pill-good" : ""}`,
      {},
      t(`model.state.${model.state}`),
    ),
    isBundled ? el("span.model-gap") : remove,
  );
}

/** A model with terms of its own is fetched only after they have been accepted. */
async function accepts(entry) {
  if (!entry.terms) return true;
  return confirmDialog({
    title: t("model.terms.title", { name: entry.name }),
    text: t("model.terms.text", { licence: entry.licence, url: entry.terms_url }),
    action: t("model.terms.accept"),
    kind: "primary",
  });
}

async function pull(entry, show, reload) {
  const { name, terms } = entry;
  if (!(await accepts(entry))) return;
  const state = { share: 0, text: t("model.pulling") };
  pulls.set(name, state);
  show();
  try {
    for await (const event of api.pull(name, terms)) {
      if (event.type !== "progress") continue;
      state.share = event.total ? event.done / event.total : null;
      state.text = known(`stage.${event.stage}`, event.stage);
      show();
    }
    toast(t("model.pulled", { name }));
  } catch (error) {
    toastError(error);
  }
  pulls.delete(name);
  await reload();
}

function pullProgress(state) {
  const bar = el("progress.upload-bar", { max: 1, "aria-label": t("model.pulling") });
  if (state.share !== null) bar.value = state.share;
  return el("div.model-pull", {}, el("span", { role: "status" }, state.text), bar);
}

function catalogueRow(entry, reload) {
  const node = el("li.model");
  const show = () => {
    const state = pulls.get(entry.name);
    const start = { type: "button", on: { click: () => pull(entry, show, reload) } };
    fill(
      node,
      modelText(entry),
      state
        ? pullProgress(state)
        : el("button.button.small", start, icon("download"), t("model.pull")),
    );
  };
  show();
  return node;
}

async function chooseWriter(select) {
  try {
    await api.chooseAnswerModel(select.value);
    await refreshModels();
    toast(t("model.writer.saved"));
  } catch (error) {
    toastError(error);
    await refreshModels();
  }
}

function writerChoice(models, answerModel) {
  const chat = models.filter((model) => model.kind === "chat").map((model) => model.name);
  const names = new Set(answerModel ? [...chat, answerModel] : chat); // chosen, but gone
  const select = el(
    "select.select",
    { "aria-label": t("model.writer"), on: { change: () => chooseWriter(select) } },
    el("option", { value: "" }, t("mode.extractive")),
    [...names].map((name) => el("option", { value: name }, name)),
  );
  select.value = answerModel;
  return el(
    "div.writer",
    {},
    el("div", {}, el("h3", {}, t("model.writer")), el("p.muted", {}, t("model.writer.text"))),
    select,
  );
}

function section(title, rows) {
  return [el("h3.model-section", {}, title), el("ul.models", {}, rows)];
}

function shelf(answer, reload) {
  const have = new Set(answer.models.map((model) => model.name));
  const missing = answer.catalogue.filter((entry) => !have.has(entry.name) && !entry.bundled);
  const bundled = new Set(
    answer.catalogue.filter((entry) => entry.bundled).map(({ name }) => name),
  );
  const models = answer.models.filter((model) => model.kind !== "base");
  return [
    writerChoice(answer.models, answer.answer_model),
    section(
      t("model.here"),
      models.map((model) => modelRow(model, bundled.has(model.name), reload)),
    ),
    missing.length
      ? section(
          t("model.catalogue"),
          missing.map((entry) => catalogueRow(entry, reload)),
        )
      : null,
  ];
}

/** The card with every model; `stop()` ends its listening. */
export function modelShelf() {
  const body = el(
    "div",
    {},
    [1, 2, 3].map(() => el("div.skeleton.row-skeleton")),
  );
  const connect = { type: "button", on: { click: () => openConnect() } };
  const load = async () => {
    try {
      fill(body, shelf(await refreshModels(), load));
    } catch (error) {
      fill(body, errorCard(error, load));
    }
  };
  let before = null;
  const stop = on("models", async (models) => {
    const names = models.map((model) => model.name).join();
    if (before !== null && before !== names) await load();
    before = names;
  });
  load();
  const node = el(
    "section.card.system-models",
    {},
    el(
      "div.card-head",
      {},
      el("h2", {}, t("system.models")),
      el("button.button.small", connect, icon("plug"), t("connect.title")),
    ),
    body,
  );
  return { node, stop };
}
