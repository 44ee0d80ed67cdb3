/** A question's trace: each step with its time, and what it knew, found and decided. */

import { api } from "./api.js";
import { el, fill } from "./dom.js";
import { duration, known, number, t } from "./i18n.js";
import { errorCard } from "./notices.js";
import { bar } from "./why.js";

const ROWS_SHOWN = 8;

function plain(value) {
  if (typeof value === "number") return number(value, 3);
  if (typeof value === "boolean") return t(value ? "fact.yes" : "fact.no");
  return value === null || value === "" ? "–" : String(value);
}

function isRecord(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function pairs(record) {
  return Object.entries(record)
    .map(([name, value]) => `${label(name)} ${isRecord(value) ? pairs(value) : plain(value)}`)
    .join(" · ");
}

function label(name) {
  return known(`score.${name}`, known(`trace.${name}`, name.replaceAll("_", " ")));
}

/** One found passage by its title, or any other record, with the numbers that belong to it. */
function recordRow(record, titles) {
  const { passage, ...rest } = record;
  const title = passage && (titles.get(passage) ?? t("trace.other"));
  const only = Object.keys(rest).length === 1 && typeof Object.values(rest)[0] === "number";
  return el(
    "li",
    {},
    title && el("span.trace-title", {}, title),
    el("span.trace-numbers", {}, only ? plain(Object.values(rest)[0]) : pairs(rest)),
  );
}

function detailValue(value, titles) {
  if (isRecord(value)) return pairs(value);
  if (!Array.isArray(value)) return plain(value);
  if (!value.some(isRecord)) return value.map(plain).join(", ") || "–";
  const rows = value.slice(0, ROWS_SHOWN).map((one) => recordRow(one, titles));
  return el("ol.trace-rows", {}, rows);
}

function stepDetail(detail, titles) {
  const entries = Object.entries(detail ?? {});
  if (!entries.length) return null;
  return el(
    "dl.trace-detail",
    {},
    entries.map(([name, value]) => [
      el("dt", {}, label(name)),
      el("dd", {}, detailValue(value, titles)),
    ]),
  );
}

function stepRow(step, longest, titles) {
  const head = [
    el("span.step-name", {}, known(`step.${step.name}`, step.name)),
    bar(step.seconds / longest),
    el("span.step-time", {}, duration(step.seconds)),
  ];
  const detail = stepDetail(step.detail, titles);
  if (!detail) return el("div.step", {}, el("div.step-head", {}, head));
  return el("details.step", {}, el("summary.step-head", {}, head), detail);
}

/** What a found passage is called: its document, and the heading it stands under. */
export function passageName({ title, heading_path: path }) {
  return [title, ...path.filter((heading) => heading !== title).slice(-1)].join(" › ");
}

/**
 * The steps of a question, fetched when shown.
 *
 * @param {import("./conversation.js").Turn} turn an ended one
 */
export function traceSteps(turn) {
  const node = el(
    "div.steps",
    {},
    [1, 2, 3].map(() => el("div.skeleton.step-skeleton")),
  );
  const titles = new Map(turn.passages.map((passage) => [passage.id, passageName(passage)]));
  const load = async () => {
    try {
      const { steps } = await api.trace(turn.done.trace_id);
      const longest = Math.max(...steps.map((step) => step.seconds), 1e-6);
      fill(
        node,
        steps.map((step) => stepRow(step, longest, titles)),
      );
    } catch (error) {
      fill(node, errorCard(error, load));
    }
  };
  load();
  return node;
}
