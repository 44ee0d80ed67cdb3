/** Who computes what: the model's layers from left to right, each stage cut among its ranks. */

import { el } from "./dom.js";
import { count, number, t } from "./i18n.js";

/** The ranks of all machines, grouped by the layers they have, in the order of the layers. */
function stagesOf(hosts) {
  const stages = new Map();
  for (const host of hosts) {
    for (const rank of host.ranks) {
      const { begin, end } = rank.share.layers;
      if (!stages.has(begin)) stages.set(begin, { begin, end, ranks: [] });
      stages.get(begin).ranks.push({ ...rank, host: host.name });
    }
  }
  return [...stages.values()].sort((a, b) => a.begin - b.begin);
}

/** How many layers each stage has. */
export function stageLayers(hosts) {
  return stagesOf(hosts).map(sizeOf);
}

/** The layout in a sentence. */
export function splitWords({ hosts }) {
  const stages = stagesOf(hosts);
  if (!stages.length) return "";
  const layers = number(stages.at(-1).end);
  const ranks = number(Math.max(...stages.map((stage) => stage.ranks.length)));
  const several = ranks !== number(1);
  if (stages.length === 1) return t(several ? "cluster.split.tp" : "cluster.split.one", { layers, ranks });
  const words = { layers, ranks, stages: number(stages.length) };
  return t(several ? "cluster.split.both" : "cluster.split.pp", words);
}

const sizeOf = ({ begin, end }) => end - begin;

function piece(rank) {
  const node = el("span.split-piece", {}, String(rank.rank));
  node.style.flexGrow = String(Math.max(sizeOf(rank.share.heads), 0.1));
  return node;
}

function shareWords({ heads, ffn, experts }) {
  const parts = [count("count.heads", sizeOf(heads)), count("count.columns", sizeOf(ffn))];
  if (sizeOf(experts)) parts.push(count("count.experts", sizeOf(experts)));
  return parts.join(" · ");
}

function stageRow(stage) {
  const [first, last] = [stage.begin + 1, stage.end].map((layer) => number(layer));
  return el(
    "li.split-stage",
    {},
    el("p.split-layers", {}, t("cluster.split.layers", { first, last })),
    el("div.split-bar", { "aria-hidden": "true" }, stage.ranks.map(piece)),
    el(
      "dl.facts",
      {},
      stage.ranks.map((rank) => [
        el("dt", {}, `${t("cluster.rank", { n: rank.rank })} · ${rank.host}`),
        el("dd", {}, shareWords(rank.share)),
      ]),
    ),
  );
}

/** @param {{hosts: Object[]}} facts */
export function split({ hosts }) {
  const stages = stagesOf(hosts);
  return [
    el("h2", {}, t("cluster.split.title")),
    stages.length
      ? el("ul.split", {}, stages.map(stageRow))
      : el("p.muted.card-text", {}, t("cluster.split.none")),
  ];
}
