/**
 * The list of turns that Ask and Chat share: a welcome while it is empty, then turns that grow, and
 * a view that follows their end for as long as the reader is there.
 */

import { el, fill, reconcile } from "./dom.js";

const NEAR_BOTTOM_PX = 160;

const keys = new WeakMap();
let lastKey = 0;

/** Turns are told apart by identity: the same question asked twice is two turns. */
function keyOf(turn) {
  if (!keys.has(turn)) keys.set(turn, String((lastKey += 1)));
  return keys.get(turn);
}

/**
 * @param {{label: string, welcome: () => HTMLElement, head: () => HTMLElement,
 *          view: (turn: Object) => HTMLElement & {update?: () => void}}} parts
 */
export function createThread({ label, welcome, head, view }) {
  const node = el("div.scroller");
  const list = el("div.thread", { role: "log", "aria-label": label });
  let start = null;
  let length = 0;

  function showWelcome() {
    if (!start) fill(node, (start = welcome()));
    length = 0;
  }

  function showTurns(turns) {
    if (!list.isConnected) fill(node, head(), list);
    start = null;
    const room = node.scrollHeight - node.scrollTop - node.clientHeight;
    reconcile(list, turns, keyOf, view);
    if (turns.length !== length || room < NEAR_BOTTOM_PX) node.scrollTop = node.scrollHeight;
    length = turns.length;
  }

  return {
    node,
    /** Bring what is shown in line with the turns. */
    show: (turns) => (turns.length ? showTurns(turns) : showWelcome()),
    /** The welcome, while it is shown. */
    start: () => start,
  };
}
