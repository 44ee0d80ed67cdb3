/** The server's HTTP API: one function per route, one error class, uploads and event streams. */

import { eventData, textPieces } from "./sse.js";

/** What the server said went wrong (code, message, remedy), or that it could not be reached. */
export class ApiError extends Error {
  constructor({ code, message, remedy = "", status = 0 }) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.remedy = remedy;
    this.status = status;
  }
}

let onSignedOut = () => {};

/** Say what to do when the server no longer knows the key. */
export function whenSignedOut(handler) {
  onSignedOut = handler;
}

function failure(status, body) {
  const error = body?.error ?? {};
  if (status === 401) onSignedOut();
  return new ApiError({
    code: error.code ?? "http_error",
    message: error.message ?? `HTTP ${status}`,
    remedy: error.remedy ?? "",
    status,
  });
}

async function send(method, path, body, signal) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const options = { method, headers, signal, credentials: "same-origin" };
  options.keepalive = method === "DELETE"; // a removal outlives the page that asked for it
  if (body !== undefined) options.body = JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ code: "unreachable", message: "" });
  }
  if (response.ok) return response;
  throw failure(response.status, await response.json().catch(() => null));
}

async function call(method, path, body) {
  const response = await send(method, path, body);
  if (response.status === 204) return null;
  return response.json();
}

const LAST = new Set(["answer_done", "generation_done", "model_ready", "failed"]);

/**
 * The events of a streaming route. A `failed` event is thrown as an ApiError, and so is a stream
 * that ends without its last event: nobody should take half an answer for a whole one.
 */
async function* stream(method, path, body, signal) {
  const response = await send(method, path, body, signal);
  let ended = false;
  try {
    for await (const data of eventData(textPieces(response.body))) {
      const event = JSON.parse(data);
      if (event.type === "failed") throw new ApiError(event);
      ended = LAST.has(event.type);
      yield event;
    }
  } catch (error) {
    if (error instanceof TypeError) throw new ApiError({ code: "cut_off", message: "" });
    throw error;
  }
  if (!ended && body !== undefined) throw new ApiError({ code: "cut_off", message: "" });
}

/**
 * Send one file; `progress` is told the share that has left, 0 to 1.
 *
 * @returns {Promise<Object>} the job that will read it
 */
function upload(base, name, file, progress, signal) {
  const path = `/api/bases/${encodeURIComponent(base)}/files?name=${encodeURIComponent(name)}`;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    request.responseType = "json";
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => progress(event.loaded / Math.max(event.total, 1));
    request.onload = () => {
      if (request.status < 300) resolve(request.response);
      else reject(failure(request.status, request.response));
    };
    request.onerror = () => reject(new ApiError({ code: "unreachable", message: "" }));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

const part = encodeURIComponent;

export const api = {
  session: () => call("GET", "/api/session"),
  login: (key) => call("POST", "/api/login", { key }),
  logout: () => call("POST", "/api/logout", {}),
  status: () => call("GET", "/api/status"),
  cluster: () => call("GET", "/api/cluster"),

  models: () => call("GET", "/api/models"),
  pull: (name, terms) =>
    stream("POST", "/api/models/pull", terms ? { name, accept_licence: terms } : { name }),
  connect: (connection) => call("POST", "/api/models/connect", connection),
  discover: () => call("POST", "/api/models/discover", {}),
  chooseAnswerModel: (name) => call("POST", "/api/models/answer", { name }),
  removeModel: (name) => call("DELETE", `/api/models/${part(name)}`),

  bases: () => call("GET", "/api/bases"),
  createBase: (id, title) => call("POST", "/api/bases", { id, title }),
  removeBase: (base) => call("DELETE", `/api/bases/${part(base)}`),
  documents: (base) => call("GET", `/api/bases/${part(base)}/documents`),
  questions: (base, documentId) =>
    call(
      "GET",
      `/api/bases/${part(base)}/questions${documentId ? `?document=${part(documentId)}` : ""}`,
    ),
  jobs: (base) => call("GET", `/api/bases/${part(base)}/jobs`),
  jobEvents: (base, signal) =>
    stream("GET", `/api/bases/${part(base)}/jobs/events`, undefined, signal),
  upload,

  document: (id) => call("GET", `/api/documents/${part(id)}`),
  removeDocument: (id) => call("DELETE", `/api/documents/${part(id)}`),
  trace: (id) => call("GET", `/api/traces/${part(id)}`),

  ask: (request, signal) => stream("POST", "/api/ask", request, signal),
  chat: (request, signal) => stream("POST", "/api/chat", request, signal),
};
