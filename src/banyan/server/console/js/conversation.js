/**
 * The conversation with a knowledge base: its turns as plain data, filled in by the events of each
 * answer. It knows nothing of how they are shown, and goes on while another page is open.
 */

import { api } from "./api.js";
import { get, on } from "./state.js";

/**
 * @typedef {Object} Turn
 * @property {string} question
 * @property {"streaming"|"done"|"refused"|"failed"|"stopped"} state
 * @property {Object[]} passages as found, best first
 * @property {Object[]} sentences each with text, citations and support
 * @property {string} reason why it was refused
 * @property {Object|null} done the last event: trace_id, mode, seconds ...
 * @property {Error|null} error
 */

let turns = [];
let conversationId = null;
let controller = null;
let listener = () => {};
/** "" lets the server choose; "extractive" asks for quoted sentences. */
let mode = "";

/** Draft of the next question; it outlives the page. */
export const draft = { text: "" };

export function conversationTurns() {
  return turns;
}

export function isAnswering() {
  return controller !== null;
}

export function answerMode() {
  return mode;
}

export function setAnswerMode(value) {
  mode = value;
}

/** Tell `callback` of each change, until the returned function is called. */
export function watchConversation(callback) {
  listener = callback;
  return () => {
    listener = () => {};
  };
}

/** Forget the turns and stop what runs. */
export function newConversation() {
  stopAnswer();
  turns = [];
  conversationId = null;
  listener();
}

export function stopAnswer() {
  controller?.abort();
}

function take(turn, event) {
  if (event.type === "passages_found") turn.passages = event.passages;
  else if (event.type === "sentence_ready") turn.sentences.push(event);
  else if (event.type === "refused") {
    turn.reason = event.reason;
    turn.passages = event.nearest.length ? event.nearest : turn.passages;
  } else if (event.type === "answer_done") {
    turn.done = event;
    turn.state = event.refused ? "refused" : "done";
    conversationId = event.conversation_id;
  }
}

function request(question) {
  const body = { base: get("base"), question };
  if (conversationId) body.conversation_id = conversationId;
  if (mode) body.mode = mode;
  return body;
}

async function answer(turn) {
  const mine = new AbortController();
  controller = mine;
  listener();
  try {
    for await (const event of api.ask(request(turn.question), mine.signal)) {
      take(turn, event);
      listener();
    }
  } catch (error) {
    turn.state = error.name === "AbortError" ? "stopped" : "failed";
    turn.error = turn.state === "failed" ? error : null;
  } finally {
    if (controller === mine) controller = null;
  }
  listener();
}

function blank(question) {
  return {
    question,
    state: "streaming",
    passages: [],
    sentences: [],
    reason: "",
    done: null,
    error: null,
  };
}

/** Ask a question; its turn appears at once and fills as the answer comes. */
export function ask(question) {
  stopAnswer();
  const turn = blank(question);
  turns = [...turns, turn];
  return answer(turn);
}

/** Ask the same again, in place of a turn that failed or was stopped. */
export function askAgain(turn) {
  stopAnswer();
  const fresh = blank(turn.question);
  turns = turns.map((one) => (one === turn ? fresh : one));
  return answer(fresh);
}

on("base", newConversation);
