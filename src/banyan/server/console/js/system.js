/** The System page: health, models, memory, speed, limits, and how programs reach this server. */

import { api } from "./api.js";
import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { count, duration, known, number, size, t } from "./i18n.js";
import { copyText, errorCard, toastError } from "./notices.js";
import { modelShelf } from "./shelf.js";
import { snippetCard } from "./snippet.js";
import { get } from "./state.js";
import { tile } from "./tile.js";

const REFRESH_MS = 5000;

function engineTile({ engine }) {
  const state = known(`engine.${engine.state}`, engine.state);
  const good = engine.state === "ready" || engine.state === "idle";
  return tile(t("system.engine"), state, engine.model || t("system.engine.none"), good);
}

function speedTile({ engine }) {
  const speed = engine.tokens_per_second;
  if (!speed) return tile(t("system.speed"), "–", t("system.speed.none"));
  return tile(t("system.speed"), `${number(speed, 1)}`, t("system.speed.unit"));
}

function memoryTile({ memory }) {
  const used = memory.processes.reduce((sum, process) => sum + process.rss_bytes, 0);
  return tile(
    t("system.memory"),
    size(used),
    t("system.memory.of", { total: size(memory.total_bytes) }),
  );
}

function basesTile({ bases }) {
  const documents = bases.reduce((sum, base) => sum + base.documents, 0);
  return tile(t("system.bases"), number(bases.length), count("count.documents", documents));
}

function tiles(status) {
  return [engineTile, speedTile, memoryTile, basesTile].map((make) => make(status));
}

function memoryRow(process, total) {
  const inside = el("span.bar-fill");
  inside.style.width = `${Math.max((process.rss_bytes / total) * 100, 0.5)}%`;
  return el(
    "div.score",
    {},
    el("span.score-name", {}, known(`process.${process.name}`, process.name)),
    el("span.bar", { "aria-hidden": "true" }, inside),
    el("span.score-value", {}, size(process.rss_bytes)),
  );
}

function memoryCard({ memory }) {
  return el(
    "section.card",
    {},
    el("h2", {}, t("system.memory")),
    el(
      "div.scores",
      {},
      memory.processes.map((process) => memoryRow(process, memory.total_bytes)),
    ),
    el("p.muted", {}, t("system.memory.free", { free: size(memory.available_bytes) })),
  );
}

/** A number in the unit that its name says. */
function quantity(name, value) {
  if (name.endsWith("_bytes")) return size(value);
  return name.endsWith("_s") ? duration(value) : number(value, 1);
}

function factText(name, value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "number") return quantity(name, value);
  if (typeof value === "boolean") return t(value ? "fact.yes" : "fact.no");
  if (!Array.isArray(value)) return String(value);
  return value.map((one) => one.name ?? String(one)).join(", ") || "–";
}

function factList(facts) {
  const shown = Object.entries(facts).filter(
    ([, value]) => typeof value !== "object" || Array.isArray(value),
  );
  return el(
    "dl.facts",
    {},
    shown.map(([name, value]) => [
      el("dt", {}, known(`fact.${name}`, name.replace(/_(bytes|s)$/, "").replaceAll("_", " "))),
      el("dd", {}, factText(name, value)),
    ]),
  );
}

function factCard(title, facts) {
  return el("section.card", {}, el("h2", {}, title), factList(facts));
}

async function signOut() {
  try {
    await api.logout();
    location.reload();
  } catch (error) {
    toastError(error);
  }
}

function accessCard() {
  const session = get("session");
  const locked = session?.keys_required;
  return el(
    "section.card",
    {},
    el("h2", {}, t("system.access")),
    el("p.access", {}, icon("key"), t(locked ? "system.access.keys" : "system.access.open")),
    locked &&
      el("button.button", { type: "button", on: { click: signOut } }, icon("out"), t("signin.out")),
  );
}

function addressLine() {
  const button = el(
    "button.icon-button",
    {
      type: "button",
      "aria-label": t("action.copy"),
      title: t("action.copy"),
      on: { click: () => copyText(location.origin, button) },
    },
    icon("copy"),
  );
  return el("p.address", {}, el("code", {}, location.origin), button);
}

/** What does not change while the page is open, and the memory, which stands first. */
function sideCards(status) {
  return [
    memoryCard(status),
    factCard(t("system.machine"), { ...status.machine, version: status.version }),
    factCard(t("system.limits"), status.limits),
    accessCard(),
  ];
}

function pageHead() {
  return el("header.page-head", {}, el("div", {}, el("h1", {}, t("system.title")), addressLine()));
}

function mount(root) {
  const skeletons = [1, 2, 3, 4].map(() => el("div.skeleton.tile"));
  const top = el("div.tiles", {}, skeletons);
  const models = modelShelf();
  const snippet = el("div");
  const side = el("div.system-side");
  const columns = el(
    "div.system-columns",
    {},
    el("div.system-main", {}, models.node, snippet),
    side,
  );
  fill(root, el("div.page.page-wide", {}, pageHead(), top, columns));

  function show(status) {
    fill(top, tiles(status));
    if (side.firstChild) {
      side.firstChild.replaceWith(memoryCard(status));
      return;
    }
    fill(side, sideCards(status));
    fill(snippet, snippetCard(status.snippet));
  }

  async function load() {
    if (document.hidden) return;
    try {
      show(await api.status());
    } catch (error) {
      if (error.status !== 401) fill(top, errorCard(error, load));
    }
  }

  load();
  const timer = setInterval(load, REFRESH_MS);
  return () => {
    clearInterval(timer);
    models.stop();
  };
}

export const systemPage = { mount };
