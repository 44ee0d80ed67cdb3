/** The Documents page: drop files in, watch them being read, list, search, open and delete. */

import { activityCard, suggestionsCard } from "./activity.js";
import { api } from "./api.js";
import { openNewBase, removeBase, SAMPLE_BASE } from "./bases.js";
import { confirmDialog } from "./dialog.js";
import { el, fill, freshId, oncePerFrame } from "./dom.js";
import { openDocument } from "./drawer.js";
import { icon } from "./icons.js";
import { count, date, known, langOf, number, size, t } from "./i18n.js";
import { chosenFiles, droppedFiles } from "./drops.js";
import { errorCard, toast, toastError } from "./notices.js";
import { refreshBases } from "./refresh.js";
import { currentBase, get, on } from "./state.js";
import { addFiles, follow, unfollow, watchUploads } from "./uploads.js";

const ROWS_SHOWN = 200;

function pickButton(label, picture, kind, folder) {
  const input = el("input", {
    type: "file",
    multiple: true,
    hidden: true,
    webkitdirectory: folder,
    "aria-label": label,
    on: {
      change: () => {
        addFiles(chosenFiles(input.files));
        input.value = "";
      },
    },
  });
  const click = () => input.click();
  const button = el(
    `button.button${kind}`,
    { type: "button", on: { click } },
    icon(picture),
    label,
  );
  return [input, button];
}

function dropZone() {
  return el(
    "div.drop",
    {},
    el("div.drop-icon", {}, icon("upload")),
    el(
      "div.drop-text",
      {},
      el("p.drop-title", {}, t("drop.title")),
      el("p.muted", {}, t("drop.formats")),
    ),
    el(
      "div.drop-actions",
      {},
      pickButton(t("drop.files"), "file", ".primary", false),
      pickButton(t("drop.folder"), "folder", "", true),
    ),
  );
}

/** The whole page takes drops, and says so while something is held over it. */
function takeDrops(page) {
  let depth = 0;
  const carriesFiles = (event) => [...event.dataTransfer.types].includes("Files");
  const over = (event) => carriesFiles(event) && event.preventDefault();
  const change = (by) => (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(depth + by, 0);
    page.classList.toggle("is-over", depth > 0);
  };
  page.addEventListener("dragenter", change(1));
  page.addEventListener("dragleave", change(-1));
  page.addEventListener("dragover", over);
  page.addEventListener("drop", async (event) => {
    event.preventDefault();
    depth = 0;
    page.classList.remove("is-over");
    const found = await droppedFiles(event.dataTransfer);
    if (found.length) addFiles(found);
    else toast(t("drop.nothing"));
  });
}

async function removeDocument(record, reload) {
  const sure = await confirmDialog({
    title: t("document.remove.title", { title: record.title || record.path }),
    text: t("document.remove.text"),
    action: t("action.delete"),
  });
  if (!sure) return;
  try {
    await api.removeDocument(record.id);
    await reload();
    toast(t("document.removed"));
  } catch (error) {
    toastError(error);
  }
}

function titleCell(record) {
  const title = record.title || record.path;
  const open = () => openDocument({ documentId: record.id, title });
  const failed = record.status === "failed";
  const content = [
    el("span.document-icon", {}, icon(failed ? "alert" : "file")),
    el(
      "div.document-name",
      {},
      el(
        "button.document-open",
        { type: "button", lang: langOf(title), on: { click: open }, disabled: failed },
        title,
      ),
      failed
        ? el("p.document-reason", {}, record.reason)
        : el("p.document-path", {}, `${record.path} · ${size(record.size_bytes)}`),
    ),
  ];
  return el("td", {}, el("div.document-cell", {}, content));
}

function documentRow(record, reload) {
  const title = record.title || record.path;
  const label = t("document.remove.label", { title });
  const failed = record.status === "failed";
  const fact = (name, value) => {
    const minor = failed || value === "–" ? ".is-minor" : "";
    return el(`td.document-fact${minor}`, { "data-label": t(name) }, value);
  };
  return el(
    "tr",
    { class: failed ? "is-failed" : null },
    titleCell(record),
    fact("document.pages", failed || !record.pages ? "–" : number(record.pages)),
    fact("document.passages", failed ? "–" : number(record.chunks)),
    fact("document.language", failed ? "–" : known(`language.${record.language}`, record.language)),
    fact("document.added", date(record.added_at)),
    el(
      "td.document-status",
      {},
      el(
        `span.pill.${failed ? "pill-bad" : "pill-good"}`,
        {},
        t(`document.status.${record.status}`),
      ),
    ),
    el(
      "td.document-actions",
      {},
      el(
        "button.icon-button",
        {
          type: "button",
          "aria-label": label,
          title: t("action.delete"),
          on: { click: () => removeDocument(record, reload) },
        },
        icon("trash"),
      ),
    ),
  );
}

const COLUMNS = ["title", "pages", "passages", "language", "added", "status"];

function documentTable(records, reload) {
  return el(
    "table.documents",
    {},
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        COLUMNS.map((name) => el("th", { scope: "col" }, t(`document.${name}`))),
        el("th", { scope: "col" }, el("span.visually-hidden", {}, t("document.actions"))),
      ),
    ),
    el(
      "tbody",
      {},
      records.map((record) => documentRow(record, reload)),
    ),
  );
}

function newestFirst(one, other) {
  return other.added_at.localeCompare(one.added_at);
}

function matches(record, words) {
  const text = `${record.title} ${record.path} ${record.reason}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function emptyRow(text) {
  return el("p.empty-row", {}, text);
}

/** What of the records answers to the words that are searched for. */
function found(records, text, reload) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fitting = records.filter((record) => matches(record, words));
  if (!records.length) return emptyRow(t("document.none"));
  if (!fitting.length) return emptyRow(t("document.no_match"));
  const rest = fitting.length - ROWS_SHOWN;
  return [
    documentTable(fitting.slice(0, ROWS_SHOWN), reload),
    rest > 0 && emptyRow(t("document.more", { n: number(rest) })),
  ];
}

function searchBox(onInput) {
  const id = freshId("filter");
  const label = t("document.search");
  const field = el("input.input", {
    id,
    type: "search",
    placeholder: label,
    on: { input: onInput },
  });
  const node = el(
    "div.search",
    {},
    icon("search"),
    el("label.visually-hidden", { for: id }, label),
    field,
  );
  return { node, field };
}

function skeletonRows() {
  return [1, 2, 3, 4].map(() => el("div.skeleton.row-skeleton"));
}

/** The table with its search box; `load()` fetches it again. */
function documentList(base) {
  const search = searchBox(() => show());
  const body = el("div.documents-body", {}, skeletonRows());
  const heading = el("h2", {}, t("document.list"));
  let records = null;

  function show() {
    if (!records) return;
    heading.textContent = `${t("document.list")} · ${number(records.length)}`;
    fill(body, found(records, search.field.value, load));
  }

  async function load() {
    try {
      records = (await api.documents(base)).documents.sort(newestFirst);
      show();
      await refreshBases();
    } catch (error) {
      fill(body, errorCard(error, load));
    }
  }

  const head = el("div.documents-head", {}, heading, search.node);
  return { node: el("section.card.documents-card", {}, head, body), load };
}

function baseFacts(base) {
  return [
    count("count.documents", base.documents),
    count("count.passages", base.chunks),
    base.failed ? count("count.failed", base.failed) : null,
  ]
    .filter(Boolean)
    .join(" · ");
}

function removeButton(base) {
  const label = t(base.id === SAMPLE_BASE ? "base.sample.remove" : "base.remove");
  return el(
    "button.button.quiet",
    { type: "button", on: { click: () => removeBase(base) } },
    icon("trash"),
    label,
  );
}

/** Title, facts and actions of the chosen base; `update()` follows the list of bases. */
function pageHead() {
  const node = el("header.page-head");
  node.update = () => {
    const base = currentBase();
    const add = { type: "button", on: { click: openNewBase } };
    fill(
      node,
      el(
        "div",
        {},
        el("h1", {}, base?.title ?? t("documents.nav")),
        el("p.muted", {}, base ? baseFacts(base) : "\u00a0"),
      ),
      el(
        "div.page-actions",
        {},
        base && removeButton(base),
        el("button.button", add, icon("plus"), t("base.new")),
      ),
    );
  };
  node.update();
  return node;
}

/** No base, or none known yet: choosing one mounts the page again. */
function mountWithout(root) {
  const head = pageHead();
  const note = el("div.card.empty-note", {}, el("p", {}, t("ask.empty.bases")));
  const show = () => {
    note.hidden = !get("basesKnown");
  };
  show();
  fill(root, el("div.page.page-wide", {}, head, note));
  return on("bases", show);
}

function mountInto(root) {
  const base = get("base");
  const head = pageHead();
  const activity = activityCard();
  const suggestions = suggestionsCard(base);
  const list = documentList(base);
  const page = el("div.page.page-wide", {}, head, dropZone(), activity, suggestions, list.node);
  takeDrops(page);
  fill(root, page);
  const stopUploads = watchUploads({
    change: oncePerFrame(activity.update),
    settled: () => (list.load(), suggestions.refresh()),
  });
  const stopBases = on("bases", head.update);
  list.load();
  suggestions.refresh();
  follow(base);
  return () => {
    stopUploads();
    stopBases();
    unfollow();
  };
}

function mount(root) {
  return get("base") ? mountInto(root) : mountWithout(root);
}

export const documentsPage = { mount };
