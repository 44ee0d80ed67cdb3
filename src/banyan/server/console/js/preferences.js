/** The two switches everyone may set: language and theme. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { language, t } from "./i18n.js";
import { setLanguage, setTheme, themeChoice } from "./state.js";

const THEMES = [
  ["system", "monitor"],
  ["light", "sun"],
  ["dark", "moon"],
];

function choice(label, isChosen, choose, ...content) {
  return el(
    "button.segment",
    { type: "button", "aria-pressed": String(isChosen), on: { click: choose }, ...label },
    content,
  );
}

function languageSwitch() {
  const pick = (code, name, lang) =>
    choice({ lang }, language() === code, () => setLanguage(code), name);
  return el(
    "div.segments",
    { role: "group", "aria-label": t("preference.language") },
    pick("en", "English", "en"),
    pick("zh", "中文", "zh-CN"),
  );
}

function themeSwitch() {
  const buttons = THEMES.map(([name, picture]) => {
    const label = t(`preference.theme.${name}`);
    const button = choice(
      { "aria-label": label, title: label },
      themeChoice() === name,
      () => {
        setTheme(name);
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      },
      icon(picture),
    );
    return button;
  });
  return el("div.segments", { role: "group", "aria-label": t("preference.theme") }, buttons);
}

/** Both switches, side by side. */
export function preferences() {
  return el("div.preferences", {}, languageSwitch(), themeSwitch());
}
