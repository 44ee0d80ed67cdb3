/** The frame around every page: skip link, navigation, base selector, preferences, main element. */

import { el, fill, freshId } from "./dom.js";
import { icon, productMark } from "./icons.js";
import { t } from "./i18n.js";
import { menu } from "./menu.js";
import { preferences } from "./preferences.js";
import { get, on, set } from "./state.js";

/** The choice of knowledge base; it follows the list of bases. */
function baseSelector() {
  const id = freshId("base");
  const select = el("select.select", { id, on: { change: () => set("base", select.value) } });
  const render = () => {
    const bases = get("bases");
    const options = bases.map((base) => el("option", { value: base.id }, base.title));
    if (!bases.length) options.push(el("option", { value: "" }, t("base.none")));
    fill(select, options);
    select.value = get("base") ?? "";
    select.disabled = bases.length < 2;
    select.title = select.selectedOptions[0]?.text ?? "";
  };
  render();
  const node = el("div.base-selector", {}, el("label.label", { for: id }, t("base.label")), select);
  const stop = [on("bases", render), on("base", render)];
  return { node, stop: () => stop.forEach((quit) => quit()) };
}

function navigation(names) {
  const links = names.map((name) =>
    el(
      "a.nav-link",
      { href: `#/${name}`, "data-page": name },
      icon(name),
      el("span", {}, t(`${name}.nav`)),
    ),
  );
  return el("nav.nav", { "aria-label": t("nav.label") }, links);
}

/** On phones the preferences hide behind a button in the top bar. */
function preferencesMenu() {
  return menu(
    "details.preferences-menu",
    el("summary.icon-button", { "aria-label": t("preference.open") }, icon("settings")),
    el("div.preferences-sheet", {}, preferences()),
  );
}

function skipLink(main) {
  const skip = (event) => {
    event.preventDefault(); // the hash belongs to the router
    main.focus();
  };
  return el("a.skip-link", { href: "#main", on: { click: skip } }, t("nav.skip"));
}

let stopSelector = () => {};

/**
 * Build the frame into `root`.
 *
 * @param {HTMLElement} root
 * @param {string[]} names the pages, in the order of the navigation
 */
export function createShell(root, names) {
  stopSelector();
  const main = el("main.main", { id: "main", tabindex: "-1" });
  const selector = baseSelector();
  stopSelector = selector.stop;
  const version = get("session")?.version;
  fill(
    root,
    skipLink(main),
    el(
      "div.shell",
      {},
      el(
        "header.sidebar",
        {},
        el("a.brand", { href: "#/ask" }, productMark(), el("span", {}, t("product"))),
        selector.node,
        navigation(names),
        el(
          "div.sidebar-foot",
          {},
          preferences(),
          version && el("p.version", {}, t("nav.version", { version })),
        ),
        preferencesMenu(),
      ),
      main,
    ),
  );
  return {
    main,
    /** Mark the page that is shown, here and in the window's title. */
    select(name) {
      for (const link of root.querySelectorAll(".nav-link")) {
        if (link.dataset.page === name) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
      document.title = `${t(`${name}.nav`)} – ${t("product")}`;
    },
  };
}
