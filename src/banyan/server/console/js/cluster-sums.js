/** How the ranks sum: for each size of message what was picked, how long it takes, and why. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { known, number, t } from "./i18n.js";
import { latency, messageSize } from "./measures.js";

function timeBar(seconds, longest) {
  const inside = el("span.bar-fill");
  inside.style.width = `${Math.max((seconds / longest) * 100, 1)}%`;
  return el("span.bar", { "aria-hidden": "true" }, inside);
}

/** How much longer the next best takes. */
function reason({ measured_s, others }) {
  if (!others.length) return t("cluster.sums.alone");
  const ratio = others[0].measured_s / measured_s;
  return t("cluster.sums.faster", { ratio: number(ratio, 2), other: others[0].algorithm });
}

function predicted({ predicted_s }) {
  const time = predicted_s ? latency(predicted_s) : "–";
  return el("span.sum-predicted.muted", {}, t("cluster.sums.predicted", { time }));
}

function candidate(one, longest, isPicked) {
  return el(
    `li.sum-way${isPicked ? ".is-picked" : ""}`,
    {},
    el("span.sum-name", {}, one.algorithm),
    timeBar(one.measured_s, longest),
    el("span.sum-time", {}, latency(one.measured_s)),
    predicted(one),
  );
}

function row(choice) {
  const all = [choice, ...choice.others];
  const longest = Math.max(...all.map((one) => one.measured_s));
  return el(
    "details.sum",
    {},
    el(
      "summary.sum-head",
      {},
      el("span.sum-size", {}, messageSize(choice.size_bytes)),
      el("span.pill.pill-good", {}, choice.algorithm),
      timeBar(choice.measured_s, longest),
      el("span.sum-time", {}, latency(choice.measured_s)),
      predicted(choice),
      el("span.sum-reason.muted", {}, reason(choice)),
      icon("chevron"),
    ),
    el("p.sum-how.muted", {}, known(`cluster.way.${choice.algorithm.split("+")[0]}`, "")),
    el("ul.sum-ways", {}, all.map((one) => candidate(one, longest, one === choice))),
  );
}

/** @param {{choices: Object[], algorithm: string, payload: string, layout: string}} facts */
export function sums({ choices, algorithm, payload }) {
  const fixed = algorithm !== "auto";
  return [
    el("h2", {}, t("cluster.sums.title")),
    el(
      "p.muted.card-text",
      {},
      fixed
        ? t("cluster.sums.fixed", { algorithm })
        : t(choices.length ? "cluster.sums.text" : "cluster.sums.none"),
      payload === "exact" ? "" : ` ${t("cluster.sums.lossy", { payload })}`,
    ),
    choices.length ? el("div.sum-list", {}, choices.map(row)) : null,
  ];
}
