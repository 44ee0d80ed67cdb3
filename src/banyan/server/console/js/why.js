/** "Why this passage?": its scores beside those of the other passages found. */

import { el } from "./dom.js";
import { known, number, t } from "./i18n.js";

const RANK = /_rank$/;

/** Where `value` stands among `values`, 0 to 1, for the length of a bar. */
export function share(value, values) {
  const low = Math.min(0, ...values);
  const high = Math.max(...values, low);
  return high === low ? 0 : (value - low) / (high - low);
}

/** A bar filled to a fraction of its length. */
export function bar(fraction) {
  const inside = el("span.bar-fill");
  inside.style.width = `${Math.round(Math.min(Math.max(fraction, 0.01), 1) * 100)}%`;
  return el("span.bar", { "aria-hidden": "true" }, inside);
}

function scoreRow(name, passage, passages) {
  const value = passage.scores[name];
  const values = passages.map((one) => one.scores[name]).filter(Number.isFinite);
  const better = values.filter((other) => other > value).length;
  const rank = passage.scores[`${name}_rank`] ?? better + 1; // 0: not among those it found
  return el(
    "div.score",
    {},
    el("span.score-name", {}, known(`score.${name}`, name)),
    bar(share(value, values)),
    el("span.score-value", {}, number(value, 2)),
    el("span.score-rank", {}, rank > 0 ? t("why.rank", { rank }) : "–"),
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
