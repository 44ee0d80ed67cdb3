/** Where the console starts: learn the session, then either sign in or show the shell and a page. */

import { api, whenSignedOut } from "./api.js";
import { askPage } from "./ask.js";
import { chatPage } from "./chat.js";
import { clusterPage } from "./cluster.js";
import { documentsPage } from "./documents.js";
import { el, fill } from "./dom.js";
import { t } from "./i18n.js";
import { errorCard, toastError } from "./notices.js";
import { refreshBases, refreshModels } from "./refresh.js";
import { createRouter } from "./router.js";
import { createShell } from "./shell.js";
import { showSignIn } from "./signin.js";
import { get, on, set } from "./state.js";
import { systemPage } from "./system.js";

const PAGES = {
  ask: askPage,
  documents: documentsPage,
  chat: chatPage,
  cluster: clusterPage,
  system: systemPage,
};

const app = document.getElementById("app");
let shell = null;
const router = createRouter(PAGES, (name) => shell.select(name));

function showConsole() {
  shell = createShell(app, Object.keys(PAGES));
  router.render(shell.main);
}

async function enter() {
  showConsole();
  try {
    await Promise.all([refreshBases(), refreshModels()]);
  } catch (error) {
    if (error.status !== 401) toastError(error);
  }
}

function signIn() {
  router.close();
  showSignIn(app, async () => {
    set("session", await api.session());
    await enter();
  });
}

async function start() {
  try {
    const session = await api.session();
    set("session", session);
    if (session.keys_required && !session.signed_in) signIn();
    else await enter();
  } catch (error) {
    fill(app, el("main.standalone", {}, el("h1", {}, "Banyan"), errorCard(error, start)));
  }
}

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable], dialog") !== null;
}

addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target)) return;
  const field = document.querySelector("[data-slash]");
  if (!field) return;
  event.preventDefault();
  field.focus();
});

/** A file dropped beside a drop zone must not replace the console. */
for (const type of ["dragover", "drop"]) {
  addEventListener(type, (event) => event.preventDefault());
}

whenSignedOut(() => {
  const session = get("session");
  if (!session?.signed_in) return;
  set("session", { ...session, signed_in: false });
  signIn();
});

on("language", () => {
  document.title = t("product");
  if (document.querySelector(".signin")) signIn();
  else showConsole();
});
on("base", () => shell && router.render());

await start();
