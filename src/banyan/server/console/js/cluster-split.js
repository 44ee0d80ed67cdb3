/** Who computes what: the model's layers from left to right, each stage cut among its ranks. */

import { el } from "./dom.js";
import { count, number, t } from "./i18n.js";

/** The ranks of all machines, grouped by the layers they have, replica by replica, in the order of
 * the layers. */
function stagesOf(hosts) {
  const stages = new Map();
  for (const host of hosts) {
    for (const rank of host.ranks) {
      const { begin, end } = rank.share.layers;
      const key = `${rank.replica} ${begin}`;
      if (!stages.has(key)) stages.set(key, { replica: rank.replica, begin, end, ranks: [] });
      stages.get(key).ranks.push({ ...rank, host: host.name });
    }
  }
  return [...stages.values()].sort((a, b) => a.replica - b.replica || a.begin - b.begin);
}

/** How many layers each stage has. */
export function stageLayers(hosts) {
  return stagesOf(hosts).map(sizeOf);
}

/** The layout in a sentence, or two where there are several replicas. */
export function splitWords({ hosts }) {
  const all = stagesOf(hosts);
  const copies = new Set(all.map((stage) => stage.replica)).size;
  const words = layoutWords(all.filter((stage) => stage.replica === all[0].replica));
  return copies > 1 ? `${t("cluster.split.copies", { n: number(copies) })} ${words}` : words;
}

function layoutWords(stages) {
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

function stageRow(stage, isOneCopy) {
  const [first, last] = [stage.begin + 1, stage.end].map((layer) => number(layer));
  const copy = isOneCopy ? "" : `${t("cluster.replica", { n: stage.replica })} · `;
  return el(
    "li.split-stage",
    {},
    el("p.split-layers", {}, copy + t("cluster.split.layers", { first, last })),
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
  const isOneCopy = stages.every((stage) => stage.replica === 0);
  return [
    el("h2", {}, t("cluster.split.title")),
    stages.length
      ? el("ul.split", {}, stages.map((stage) => stageRow(stage, isOneCopy)))
      : el("p.muted.card-text", {}, t("cluster.split.none")),
  ];
}
