/* Runs before the first paint, so that a dark page never flashes white. */
(() => {
  const kept = (name) => {
    try {
      return localStorage.getItem(`banyan.${name}`);
    } catch {
      return null; // storage is switched off: the system's choice stands
    }
  };
  const theme = kept("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const isDark = theme === "dark" || (theme !== "light" && dark);
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  const language = kept("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
})();
