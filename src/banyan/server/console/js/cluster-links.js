/** Every link, both ways, and the slower way of every two machines: the numbers behind the drawing. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";
import { latency, linkRate } from "./measures.js";

/**
 * What the engine has measured of the links; before and beside that, what the layout was chosen by,
 * some of which may be assumed.
 */
export function linksOf({ links, facts }) {
  if (links.length || !facts) return links;
  return facts.links.flatMap((row, i) =>
    row.map((link, j) => ({ ...link, hosts: [i, j], assumed: !link.is_measured })),
  );
}

/** Every two machines with the worse of what is known of either direction, if anything is. */
export function linkPairs(links, machines) {
  const pairs = [];
  for (let i = 0; i < machines; i += 1) {
    for (let j = i + 1; j < machines; j += 1) {
      const both = links.filter((link) => link.hosts.includes(i) && link.hosts.includes(j));
      pairs.push({
        ends: [i, j],
        latency_s: Math.max(...both.map((link) => link.latency_s)),
        bandwidth: Math.min(...both.map((link) => link.bandwidth)),
        assumed: both.some((link) => link.assumed),
        known: both.length > 0,
      });
    }
  }
  return pairs;
}

function row(link, hosts) {
  const [from, to] = [link.hosts[0], link.hosts.at(-1)].map((at) => hosts[at]?.name ?? String(at));
  const name = from === to ? t("cluster.links.inside", { host: from }) : `${from} → ${to}`;
  const assumed = link.assumed ? t("cluster.assumed") : "";
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, name, assumed && el("span.muted", {}, ` (${assumed})`)),
    el("td", {}, latency(link.latency_s)),
    el("td", {}, linkRate(link.bandwidth)),
  );
}

/** A machine of one rank has no link within it. */
function isLink({ hosts: [from, to] }, hosts) {
  return from !== to || hosts[from]?.ranks.length > 1;
}

/** @param {{links: Object[], hosts: Object[]}} facts */
export function linkTable({ links, hosts }) {
  const shown = links.filter((link) => isLink(link, hosts));
  if (!shown.length) return [];
  return [
    el(
      "details.links",
      {},
      el("summary", {}, t("cluster.links.title"), icon("chevron")),
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, t("cluster.links.link")),
            el("th", { scope: "col" }, t("cluster.links.latency")),
            el("th", { scope: "col" }, t("cluster.links.bandwidth")),
          ),
        ),
        el("tbody", {}, shown.map((link) => row(link, hosts))),
      ),
    ),
  ];
}
