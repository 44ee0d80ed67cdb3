/** Why this layout: the ones that could be run, with what the planner expects of each. */

import { stageLayers } from "./cluster-split.js";
import { el } from "./dom.js";
import { duration, number, t } from "./i18n.js";

function row(option, layers) {
  const isUsed = option.layers.join() === layers.join();
  return el(
    "tr",
    {},
    el(
      "th",
      { scope: "row" },
      `${option.name} `,
      isUsed && el("span.pill.pill-good", {}, t("cluster.options.used")),
    ),
    el("td", {}, option.layers.join(" + ")),
    el("td", {}, duration(option.ttft_s)),
    el("td", {}, `${number(option.itl_s * 1000, 1)} ms`),
    el("td.options-reason", {}, option.reason || t("cluster.options.best")),
  );
}

/** @param {{options: Object[], hosts: Object[], assumed: string[]}} facts */
export function optionTable({ options, hosts, assumed }) {
  if (options.length < 2) return [];
  const names = ["layout", "layers", "first", "next", "reason"];
  const layers = stageLayers(hosts);
  return [
    el("h2", {}, t("cluster.options.title")),
    el("p.muted.card-text", {}, t("cluster.options.text")),
    assumed.length
      ? el("p.card-text", {}, t("cluster.options.assumed", { what: assumed.join("; ") }))
      : null,
    el(
      "div.table-scroll",
      {},
      el(
        "table.options",
        {},
        el(
          "thead",
          {},
          el("tr", {}, names.map((name) => el("th", { scope: "col" }, t(`cluster.options.${name}`)))),
        ),
        el("tbody", {}, options.map((option) => row(option, layers))),
      ),
    ),
  ];
}
