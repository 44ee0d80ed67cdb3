/** The machines one by one: their memory, and what each rank on them holds and does. */

import { el } from "./dom.js";
import { count, known, number, size, t } from "./i18n.js";
import { held, rankHealth } from "./cluster-map.js";

function share(bytes, total) {
  return `${Math.min(100, (bytes / Math.max(total, 1)) * 100)}%`;
}

function memoryBar(host) {
  const ours = held(host);
  const others = Math.max(0, host.memory_used_bytes - ours);
  const pieces = [el("span.memory-held"), el("span.memory-others")];
  [ours, others].forEach((bytes, at) => {
    pieces[at].style.width = share(bytes, host.memory_bytes);
  });
  return el(
    "div.memory",
    {},
    el("span.bar.memory-bar", { "aria-hidden": "true" }, pieces),
    el(
      "span.memory-words",
      {},
      t("cluster.memory", {
        held: size(ours),
        others: size(others),
        total: size(host.memory_bytes),
      }),
    ),
  );
}

/** Each replica counts its ranks from 0. */
function nameOf({ replica, rank }) {
  return replica ? `${replica}.${rank}` : rank;
}

function rankRow(rank, host) {
  const inside = el("span.bar-fill");
  inside.style.width = share(rank.rss_bytes, host.memory_bytes);
  return el(
    "li.rank",
    {},
    el("span.rank-name", {}, t("cluster.rank", { n: nameOf(rank) })),
    el("span.rank-device.muted", {}, rank.device),
    el(
      "span.rank-state",
      {},
      el(`span.dot.is-${rankHealth(rank)}`),
      known(`cluster.rank.${rank.state}`, rank.state || t("cluster.rank.unknown")),
    ),
    el("span.bar", { "aria-hidden": "true" }, inside),
    el("span.rank-size", {}, size(rank.rss_bytes)),
  );
}

function machine(host, at) {
  const seconds = number(host.silence_s, 1);
  const heard = t(at === 0 ? "cluster.this_machine" : "cluster.heard", { seconds });
  return el(
    "section.machine",
    {},
    el(
      "div.machine-head",
      {},
      el("h3", {}, host.name),
      el("span.muted", {}, `${host.address} · ${count("count.cores", host.cores)}`),
      el("span.muted.machine-heard", {}, heard),
    ),
    memoryBar(host),
    el("ul.ranks", {}, host.ranks.map((rank) => rankRow(rank, host))),
  );
}

/** @param {{hosts: Object[]}} status */
export function machines({ hosts }) {
  return [el("h2", {}, t("cluster.machines.title")), hosts.map(machine)];
}
