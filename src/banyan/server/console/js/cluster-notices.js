/** What to do next: start a cluster, bring the awaited machines in, or mend what took it down. */

import { dots, el } from "./dom.js";
import { icon } from "./icons.js";
import { number, t } from "./i18n.js";
import { copyText } from "./notices.js";

/** A command to type, with a button that copies it. */
function command(text) {
  const button = el(
    "button.icon-button",
    {
      type: "button",
      "aria-label": t("cluster.copy", { text }),
      title: t("action.copy"),
      on: { click: () => copyText(text, button) },
    },
    icon("copy"),
  );
  return el("div.command", {}, el("code", {}, text), button);
}

/** For a server whose models run on its own machine alone. */
export function startHint() {
  return el(
    "section.card.cluster-start",
    {},
    el("h2", {}, t("cluster.none.title")),
    el("p.muted", {}, t("cluster.none.text")),
    el("p", {}, t("cluster.none.up")),
    command("banyan up --workers 1"),
    el("p", {}, t("cluster.none.join")),
    command("banyan join HEAD:7946 --token TOKEN"),
    el("p.muted", {}, t("cluster.none.local")),
    command("banyan up --local-ranks 2"),
  );
}

function howToJoin({ address, missing, here, expected, tls }) {
  const left = expected - here;
  if (left <= 0) return [];
  const each = missing.length
    ? t("cluster.join.named", { names: missing.join(", ") })
    : t("cluster.join.each");
  const name = missing.length === 1 ? ` --name ${missing[0]}` : "";
  const encrypted = tls ? " --tls" : "";
  return [
    el("p", {}, each),
    command(`banyan join ${address} --token TOKEN${name}${encrypted}`),
    el("p.hint", {}, t("cluster.join.token")),
  ];
}

function waiting({ here, expected }) {
  const left = expected - here;
  if (left <= 0) return t("cluster.forming");
  return t("cluster.waiting", { n: number(left), all: number(expected) });
}

/**
 * @param {{state: string, cause: string, address: string, missing: string[], here: number,
 *   expected: number, tls: boolean}} facts
 */
export function joinNotice(facts) {
  if (facts.state === "ready") return [];
  const isDown = facts.state === "down";
  const isWhole = facts.here >= facts.expected;
  return [
    el(
      isDown ? "div.notice.notice-error" : "div.notice.notice-hint",
      { role: "status" },
      icon(isDown ? "alert" : "cluster"),
      el(
        "div.notice-body.cluster-notice",
        {},
        el("p.notice-title", {}, isDown ? t("cluster.down") : [waiting(facts), isWhole && dots()]),
        facts.cause && el("p.cluster-cause", {}, facts.cause),
        isDown && el("p", {}, t(isWhole ? "cluster.down.again" : "cluster.down.awaits")),
        howToJoin(facts),
      ),
    ),
  ];
}
