/** The interface's language: looking words up, and numbers, sizes and dates as each writes them. */

import { WORDS } from "./words.js";

const COLUMN = { en: 0, zh: 1 };

/** @returns {"en"|"zh"} */
export function language() {
  return document.documentElement.lang.startsWith("zh") ? "zh" : "en";
}

/** Switch the document's language; whoever shows words renders again. */
export function applyLanguage(code) {
  document.documentElement.lang = code === "zh" ? "zh-CN" : "en";
}

/**
 * The words of `key` in the interface's language, with every {name} replaced from `params`.
 *
 * @param {string} key
 * @param {Object<string, string|number>} [params]
 */
export function t(key, params = {}) {
  const pair = WORDS[key];
  if (!pair) throw new Error(`no words for ${key}`);
  return pair[COLUMN[language()]].replace(/\{(\w+)\}/g, (whole, name) => params[name] ?? whole);
}

/** Like `t`, with {n} written out and the singular form (`key.one`) where English wants it. */
export function count(key, n) {
  return t(n === 1 ? `${key}.one` : key, { n: number(n) });
}

/** The words of `key`, or `fallback` where there are none: for codes that the server invents. */
export function known(key, fallback) {
  return WORDS[key] ? t(key) : fallback;
}

function locale() {
  return language() === "zh" ? "zh-CN" : "en-GB";
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
}

/** Bytes as people write them: 98.4 MB (powers of ten, like disks and downloads). */
export function size(bytes) {
  if (!Number.isFinite(bytes)) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${number(value, unit && value < 100 ? 1 : 0)} ${units[unit]}`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 0.0001) return `< ${number(0.1, 1)} ms`;
  if (seconds < 0.9995) return `${number(seconds * 1000, seconds < 0.01 ? 1 : 0)} ms`;
  return `${number(seconds, seconds < 10 ? 2 : 0)} s`;
}

export function date(text) {
  const when = new Date(text);
  if (Number.isNaN(when.getTime())) return text;
  const today = when.toDateString() === new Date().toDateString();
  const style = today ? { timeStyle: "short" } : { dateStyle: "medium" };
  return new Intl.DateTimeFormat(locale(), style).format(when);
}

const CJK = /[\u3400-\u9fff\uf900-\ufaff]/;

/** Whether a text is Chinese, for its `lang` attribute: fonts and voices depend on it. */
export function isChinese(text) {
  return CJK.test(text);
}

/** The `lang` of a piece of content, which need not be that of the interface. */
export function langOf(text) {
  return isChinese(text) ? "zh-CN" : "en";
}
