/** The dialogue with a bare model: messages and settings as plain data, filled in as tokens come. */

import { api } from "./api.js";

/**
 * @typedef {Object} Reply
 * @property {"user"|"assistant"} role
 * @property {string} content
 * @property {"writing"|"done"|"stopped"|"failed"} state
 * @property {Object|null} done the last event: finish_reason and usage
 * @property {number} seconds
 * @property {Error|null} error
 */

let messages = [];
let controller = null;
let listener = () => {};

export const draft = { text: "" };

/** What a request is made with; the form on the page changes it. */
export const options = { model: "", system: "", temperature: 0.7, maxTokens: 512 };

export function dialogueMessages() {
  return messages;
}

export function isWriting() {
  return controller !== null;
}

export function watchDialogue(callback) {
  listener = callback;
  return () => {
    listener = () => {};
  };
}

export function newDialogue() {
  stopWriting();
  messages = [];
  listener();
}

export function stopWriting() {
  controller?.abort();
}

function request(history) {
  const system = options.system.trim();
  const turns = history
    .filter((message) => message.content)
    .map(({ role, content }) => ({ role, content }));
  return {
    model: options.model,
    messages: system ? [{ role: "system", content: system }, ...turns] : turns,
    temperature: options.temperature,
    max_tokens: options.maxTokens,
  };
}

async function write(reply, body) {
  const mine = new AbortController();
  const started = performance.now();
  controller = mine;
  listener();
  try {
    for await (const event of api.chat(body, mine.signal)) {
      if (event.type === "token_ready") reply.content += event.text;
      else if (event.type === "generation_done") reply.done = event;
      listener();
    }
    reply.state = "done";
  } catch (error) {
    reply.state = error.name === "AbortError" ? "stopped" : "failed";
    reply.error = reply.state === "failed" ? error : null;
  } finally {
    reply.seconds = (performance.now() - started) / 1000;
    if (controller === mine) controller = null;
  }
  listener();
}

function blankReply() {
  return { role: "assistant", content: "", state: "writing", done: null, seconds: 0, error: null };
}

export function say(text) {
  stopWriting();
  const question = { role: "user", content: text, state: "done" };
  const reply = blankReply();
  const body = request([...messages, question]);
  messages = [...messages, question, reply];
  return write(reply, body);
}

/** Have the last reply written again. */
export function sayAgain(reply) {
  stopWriting();
  const before = messages.slice(0, messages.indexOf(reply));
  const fresh = blankReply();
  messages = [...before, fresh];
  return write(fresh, request(before));
}
