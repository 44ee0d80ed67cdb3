/** The drawing of a cluster: machines as boxes, and between them what was measured of the links. */

import { linkPairs, linksOf } from "./cluster-links.js";
import { svg } from "./dom.js";
import { count, number, size, t } from "./i18n.js";
import { latency, linkRate } from "./measures.js";

const BOX = { width: 172, height: 96 };
const GAP = 14;
const WIDE = 600;
const MAX_DOTS = 10;

function columns(machines, width) {
  const box = { ...BOX, width: Math.min(BOX.width, (width - GAP) / 2) };
  const across = machines < 3 ? 1 : 2;
  const rise = BOX.height + (machines === 2 ? 84 : 40);
  const centres = Array.from({ length: machines }, (_, at) => ({
    x: across === 1 ? width / 2 : at % 2 ? width - box.width / 2 - 1 : box.width / 2 + 1,
    y: BOX.height / 2 + 2 + Math.floor(at / across) * rise,
  }));
  return { box, centres, height: centres.at(-1).y + BOX.height / 2 + 2 };
}

function ring(machines, width) {
  const rx = Math.min(360, (width - BOX.width) / 2 - 2);
  const ry = machines > 4 ? 170 : 130;
  const centres = Array.from({ length: machines }, (_, at) => {
    const angle = (2 * Math.PI * at) / machines - Math.PI / 2;
    return { x: width / 2 + rx * Math.cos(angle), y: ry * Math.sin(angle) };
  });
  const top = Math.min(...centres.map(({ y }) => y)) - BOX.height / 2 - 2;
  for (const centre of centres) centre.y -= top;
  return { box: BOX, centres, height: Math.max(...centres.map(({ y }) => y)) + BOX.height / 2 + 2 };
}

/** Where each machine stands in a drawing of that width. */
function placed(machines, width) {
  if (machines !== 2 || width < WIDE) {
    return width < WIDE || machines < 3 ? columns(machines, width) : ring(machines, width);
  }
  const y = BOX.height / 2 + 2;
  const reach = Math.min(width / 2, 400) - BOX.width / 2 - 2;
  const centres = [-reach, reach].map((x) => ({ x: width / 2 + x, y }));
  return { box: BOX, centres, height: BOX.height + 4 };
}

function clipped(text, room) {
  const letters = [...text];
  return letters.length > room ? `${letters.slice(0, room - 1).join("")}…` : text;
}

/** @returns {"good"|"bad"|"busy"} */
export function rankHealth({ state }) {
  if (state === "ready") return "good";
  return state === "failed" || state === "ended" ? "bad" : "busy";
}

/** What the ranks of a machine hold, in bytes. */
export function held(host) {
  return host.ranks.reduce((sum, rank) => sum + rank.rss_bytes, 0);
}

function bar(x, y, width, host) {
  const part = (bytes) => Math.min(1, bytes / Math.max(host.memory_bytes, 1)) * width;
  const piece = (name, bytes) =>
    svg("rect", { class: name, x, y, width: bytes && Math.max(part(bytes), 4), height: 6, rx: 3 });
  return [
    svg("rect", { class: "map-track", x, y, width, height: 6, rx: 3 }),
    piece("map-others", Math.max(host.memory_used_bytes, held(host))),
    piece("map-held", held(host)),
  ];
}

function dots(x, y, ranks) {
  const shown = ranks.slice(0, MAX_DOTS);
  return [
    shown.map((rank, at) =>
      svg("circle", { class: `map-rank is-${rankHealth(rank)}`, cx: x + 5 + at * 13, cy: y, r: 4.5 }),
    ),
    ranks.length > MAX_DOTS &&
      svg("text", { class: "map-detail", x: x + MAX_DOTS * 13 + 2, y: y + 4 }, "…"),
  ];
}

function machine(host, { x, y }, box) {
  const left = x - box.width / 2;
  const top = y - box.height / 2;
  const room = Math.floor((box.width - 28) / 8.2);
  const details = host.awaited
    ? [t("cluster.awaited")]
    : [
        count("count.cores", host.cores),
        host.ranks.length && count("count.ranks", host.ranks.length),
      ];
  return svg(
    "g",
    { class: host.awaited ? "map-host is-awaited" : "map-host" },
    svg("title", {}, host.awaited ? host.name : `${host.name} (${host.address})`),
    svg("rect", { class: "map-box", x: left, y: top, width: box.width, height: box.height, rx: 12 }),
    svg("text", { class: "map-name", x: left + 14, y: top + 26 }, clipped(host.name, room)),
    svg("text", { class: "map-detail", x: left + 14, y: top + 45 }, details.filter(Boolean).join(" · ")),
    !host.awaited && [
      dots(left + 14, top + 64, host.ranks),
      svg(
        "text",
        { class: "map-detail is-end", x: left + box.width - 14, y: top + 68 },
        host.ranks.length ? size(held(host)) : "",
      ),
      bar(left + 14, top + 77, box.width - 28, host),
    ],
  );
}

function lineBetween(pair, from, to) {
  const name = pair.known && !pair.assumed ? "map-link" : "map-link is-unmeasured";
  return svg("line", { class: name, x1: from.x, y1: from.y, x2: to.x, y2: to.y });
}

function label(pair, from, to, isSlowest) {
  const x = (from.x + to.x) / 2;
  const y = (from.y + to.y) / 2;
  const time = latency(pair.latency_s);
  const rate = pair.assumed ? t("cluster.assumed") : linkRate(pair.bandwidth);
  const text = (line, at, what) => svg("text", { class: `map-measure is-${what}`, x, y: at }, line);
  return svg(
    "g",
    {},
    svg("rect", { class: "map-label", x: x - 64, y: y - 22, width: 128, height: 44, rx: 10 }),
    text(isSlowest ? t("cluster.map.slowest", { time }) : time, y - 3, "first"),
    text(rate, y + 15, "second"),
  );
}

/** The pairs that there is room to write at: all of few, of more only the slowest. */
function labelled(pairs, machines, width) {
  const told = pairs.filter((pair) => pair.known);
  if (machines < 4 && (width >= WIDE || machines === 2)) return told;
  if (width < WIDE || !told.length) return [];
  return [told.reduce((worst, pair) => (pair.bandwidth < worst.bandwidth ? pair : worst))];
}

/** The machines that are here, then those that are awaited. */
function machinesOf(status) {
  const awaited = Array.from(
    { length: Math.max(0, status.expected_hosts - status.hosts.length) },
    (_, at) => ({ name: status.missing[at] ?? t("cluster.a_machine"), awaited: true }),
  );
  return [...status.hosts, ...awaited];
}

function drawing(status, width) {
  const machines = machinesOf(status);
  const pairs = linkPairs(linksOf(status), machines.length);
  const { box, centres, height } = placed(machines.length, width);
  const between = (draw, pair, ...more) => draw(pair, ...pair.ends.map((end) => centres[end]), ...more);
  const told = labelled(pairs, machines.length, width);
  const isSlowest = told.length === 1 && pairs.length > 1;
  const words = t("cluster.map.label", { n: number(machines.length) });
  return svg(
    "svg",
    { class: "map", role: "img", "aria-label": words, viewBox: `0 0 ${width} ${height}` },
    pairs.map((pair) => between(lineBetween, pair)),
    machines.map((host, at) => machine(host, centres[at], box)),
    told.map((pair) => between(label, pair, isSlowest)),
  );
}

/**
 * The drawing, which follows the width it is given.
 *
 * @returns {{node: HTMLElement, show: (status: Object) => void, stop: () => void}}
 */
export function clusterMap(node) {
  let status = null;
  const draw = () => {
    if (status && node.clientWidth) node.replaceChildren(drawing(status, node.clientWidth));
  };
  const watcher = new ResizeObserver(draw);
  watcher.observe(node);
  return {
    show(found) {
      status = found;
      draw();
    },
    stop: () => watcher.disconnect(),
  };
}
