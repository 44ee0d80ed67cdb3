/** "Why this passage?": its scores beside those of the other candidates, and the question's trace. */

import { api } from "./api.js";
import { el, fill } from "./dom.js";
import { duration, known, number, t } from "./i18n.js";
import { errorCard } from "./notices.js";

const RANK = /_rank$/;

/** Where `value` stands among `values`, 0 to 1, for the length of a bar. */
export function share(value, values) {
  const low = Math.min(0, ...values);
  const high = Math.max(...values, low);
  return high === low ? 0 : (value - low) / (high - low);
}

function bar(fraction) {
  const inside = el("span.bar-fill");
  inside.style.width = `${Math.round(Math.min(Math.max(fraction, 0.01), 1) * 100)}%`;
  return el("span.bar", { "aria-hidden": "true" }, inside);
}

function scoreRow(name, passage, passages) {
  const value = passage.scores[name];
  const values = passages.map((one) => one.scores[name]).filter(Number.isFinite);
  const better = values.filter((other) => other > value).length;
  const rank = passage.scores[`${name}_rank`] ?? better + 1;
  return el(
    "div.score",
    {},
    el("span.score-name", {}, known(`score.${name}`, name)),
    bar(share(value, values)),
    el("span.score-value", {}, number(value, 2)),
    el("span.score-rank", {}, t("why.rank", { rank })),
  );
}

/** The parts of a passage's score, each as a bar on the scale of the passages found with it. */
export function scoreBars(passage, passages) {
  const names = Object.keys(passage.scores).filter((name) => !RANK.test(name));
  if (!names.length) return el("p.muted", {}, t("why.no_scores"));
  return el(
    "div.scores",
    {},
    names.map((name) => scoreRow(name, passage, passages)),
  );
}

function detailText(value) {
  if (typeof value === "number") return number(value, 3);
  return typeof value === "string" ? value : JSON.stringify(value);
}

function stepDetail(detail) {
  const entries = Object.entries(detail ?? {});
  if (!entries.length) return null;
  return el(
    "dl.facts",
    {},
    entries.map(([name, value]) => [
      el("dt", {}, name.replaceAll("_", " ")),
      el("dd", {}, detailText(value)),
    ]),
  );
}

function stepRow(step, longest) {
  const head = [
    el("span.step-name", {}, known(`step.${step.name}`, step.name)),
    bar(step.seconds / longest),
    el("span.step-time", {}, duration(step.seconds)),
  ];
  const detail = stepDetail(step.detail);
  if (!detail) return el("div.step", {}, el("div.step-head", {}, head));
  return el("details.step", {}, el("summary.step-head", {}, head), detail);
}

/** The steps of a question, fetched when shown. */
export function traceSteps(traceId) {
  const node = el("div.steps", {}, [1, 2, 3].map(() => el("div.skeleton.step-skeleton")));
  const load = async () => {
    try {
      const { steps } = await api.trace(traceId);
      const longest = Math.max(...steps.map((step) => step.seconds), 1e-6);
      fill(node, steps.map((step) => stepRow(step, longest)));
    } catch (error) {
      fill(node, errorCard(error, load));
    }
  };
  load();
  return node;
}
