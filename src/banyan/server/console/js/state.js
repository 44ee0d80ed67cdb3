/** What several pages share: the chosen base, the session and the preferences kept in this browser. */

import { applyLanguage, language } from "./i18n.js";

const listeners = new Map();
const values = {
  bases: [],
  basesKnown: false, // an empty list may only not have come yet
  base: kept("base"),
  session: null,
  answerModel: "",
  models: [],
};

function kept(name) {
  try {
    return localStorage.getItem(`banyan.${name}`);
  } catch {
    return null; // storage is switched off: nothing outlives the page
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(`banyan.${name}`, value);
  } catch {
    // storage is switched off or full: the choice holds for this page
  }
}

/** @param {keyof typeof values} name */
export function get(name) {
  return values[name];
}

/** Change a shared value and tell whoever listens to it. */
export function set(name, value) {
  if (values[name] === value) return;
  values[name] = value;
  if (name === "base") keep("base", value);
  announce(name);
}

function announce(name) {
  for (const listener of listeners.get(name) ?? []) listener(values[name]);
}

/** Listen to a name; returns the way to stop. */
export function on(name, listener) {
  if (!listeners.has(name)) listeners.set(name, new Set());
  listeners.get(name).add(listener);
  return () => listeners.get(name).delete(listener);
}

/** The chosen base's record, if there is one. */
export function currentBase() {
  return values.bases.find((base) => base.id === values.base) ?? null;
}

/** Take a fresh list of bases; the chosen one stays chosen while it exists. */
export function setBases(bases) {
  values.bases = bases;
  values.basesKnown = true;
  const still = bases.some((base) => base.id === values.base);
  if (!still) set("base", bases[0]?.id ?? null);
  announce("bases");
}

export function setLanguage(code) {
  if (code === language()) return;
  keep("language", code);
  applyLanguage(code);
  announce("language");
}

/** @returns {"system"|"light"|"dark"} */
export function themeChoice() {
  return kept("theme") ?? "system";
}

export function setTheme(choice) {
  keep("theme", choice);
  applyTheme();
  announce("theme");
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function applyTheme() {
  const choice = themeChoice();
  const dark = choice === "dark" || (choice === "system" && prefersDark.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

prefersDark.addEventListener("change", applyTheme);
