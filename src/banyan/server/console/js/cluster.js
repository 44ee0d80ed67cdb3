/** The Cluster page: who computes together, how they are joined, what was picked, what is wrong. */

import { api } from "./api.js";
import { linkTable, linksOf } from "./cluster-links.js";
import { clusterMap } from "./cluster-map.js";
import { joinNotice, startHint } from "./cluster-notices.js";
import { optionTable } from "./cluster-options.js";
import { machines } from "./cluster-ranks.js";
import { noteTokens, speedLine } from "./cluster-speed.js";
import { split, splitWords } from "./cluster-split.js";
import { sums } from "./cluster-sums.js";
import { el, fill, showing } from "./dom.js";
import { count, known, number, t } from "./i18n.js";
import { errorCard } from "./notices.js";
import { tile } from "./tile.js";

const REFRESH_MS = 2000;

function stateTile(status) {
  const words = known(`cluster.state.${status.state}`, status.state);
  return tile(t("cluster.state"), words, status.model, status.state === "ready");
}

function machinesTile({ hosts, expected_hosts }) {
  const ranks = hosts.reduce((sum, host) => sum + host.ranks.length, 0);
  const value = t("cluster.machines.of", {
    here: number(hosts.length),
    all: number(expected_hosts),
  });
  return tile(t("cluster.machines"), value, count("count.ranks", ranks));
}

function speedTile({ decode_tokens_per_s, prefill_tokens_per_s }) {
  if (!decode_tokens_per_s) return tile(t("cluster.speed"), "–", t("system.speed.none"));
  const reading = number(prefill_tokens_per_s, 0);
  const node = tile(
    t("cluster.speed"),
    number(decode_tokens_per_s, 1),
    t("cluster.speed.detail", { reading }),
  );
  node.append(speedLine() ?? "");
  return node;
}

function requestsTile({ running, waiting }) {
  const detail = t("cluster.requests.waiting", { n: number(waiting) });
  return tile(t("cluster.requests"), number(running), detail);
}

const tiles = (status) =>
  [stateTile, machinesTile, speedTile, requestsTile].map((make) => make(status));

function head(status) {
  const words = status && splitWords(status);
  return el(
    "div",
    {},
    el("h1", {}, t("cluster.title")),
    el("p.muted", {}, words || t("cluster.text")),
  );
}

function mapTitle({ tls }) {
  const words = tls ? el("span.pill.pill-good", {}, t("cluster.encrypted")) : null;
  return [el("h2", {}, t("cluster.map.title")), words];
}

/** What the page consists of while there is a cluster, and the way to bring it up to date. */
function clusterView(root) {
  const [notice, top, mapHead] = [el("div"), el("div.tiles"), el("div.card-head")];
  const [drawing, links] = [el("div"), el("div")];
  const [list, parts, why, ways] = [1, 2, 3, 4].map(() => el("section.card"));
  const map = clusterMap(drawing);
  fill(
    root,
    notice,
    top,
    el("section.card.cluster-map", {}, mapHead, drawing, links),
    el("div.cluster-columns", {}, list, parts),
    why,
    ways,
  );
  const [showNotice, showHead, showLinks, showSums, showSplit, showWhy] = [
    showing(notice, joinNotice),
    showing(mapHead, mapTitle),
    showing(links, linkTable),
    showing(ways, sums),
    showing(parts, split),
    showing(why, optionTable),
  ];
  return {
    show(status) {
      noteTokens(status.decoded_tokens);
      const { state, cause, missing, address, tls, algorithm, payload } = status;
      const lasting = status.hosts.map(withoutVitals);
      const [here, expected] = [lasting.length, status.expected_hosts];
      showNotice({ state, cause, missing, address, tls, here, expected });
      fill(top, tiles(status));
      showHead({ tls });
      map.show(status);
      showLinks({ links: linksOf(status), hosts: lasting });
      fill(list, machines(status));
      showSums({ choices: status.choices, algorithm, payload });
      showSplit({ hosts: lasting });
      showWhy({ options: status.options, hosts: lasting, assumed: status.assumed });
    },
    stop: () => map.stop(),
  };
}

/** What of a host does not change from one look to the next. */
function withoutVitals({ name, ranks }) {
  return { name, ranks: ranks.map(({ replica, rank, share }) => ({ replica, rank, share })) };
}

function mount(root) {
  const title = el("header.page-head");
  const body = el("div.cluster-body", {}, el("div.skeleton.row-skeleton"));
  fill(root, el("div.page.page-wide", {}, title, body));
  const showTitle = showing(title, head);
  let view = null;

  function leave() {
    view?.stop();
    view = null;
  }

  function show(status) {
    showTitle(status && { hosts: status.hosts.map(withoutVitals) });
    if (status) {
      view ??= clusterView(body);
      view.show(status);
    } else if (!body.querySelector(".cluster-start")) {
      leave();
      fill(body, startHint());
    }
  }

  async function load() {
    if (document.hidden) return;
    try {
      show((await api.cluster()).cluster);
    } catch (error) {
      if (error.status === 401) return;
      leave();
      fill(body, errorCard(error, load));
    }
  }

  load();
  const timer = setInterval(load, REFRESH_MS);
  return () => {
    clearInterval(timer);
    leave();
  };
}

export const clusterPage = { mount };
