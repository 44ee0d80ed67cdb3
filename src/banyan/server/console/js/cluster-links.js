/** Every link as it was measured, both ways: the numbers behind the drawing. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";
import { latency, linkRate } from "./measures.js";

function row(link, hosts) {
  const [from, to] = [link.hosts[0], link.hosts.at(-1)].map((at) => hosts[at]?.name ?? String(at));
  const name = from === to ? t("cluster.links.inside", { host: from }) : `${from} → ${to}`;
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, name),
    el("td", {}, latency(link.latency_s)),
    el("td", {}, linkRate(link.bandwidth)),
  );
}

/** @param {{links: Object[], hosts: Object[]}} facts */
export function linkTable({ links, hosts }) {
  if (!links.length) return [];
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
        el("tbody", {}, links.map((link) => row(link, hosts))),
      ),
    ),
  ];
}
