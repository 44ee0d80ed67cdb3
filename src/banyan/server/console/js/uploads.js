/**
 * Files on their way into a base: sent two at a time, then followed as jobs until each has ended.
 * Plain data and callbacks; the page shows it. It goes on while another page is open.
 */

import { api } from "./api.js";
import { get, on } from "./state.js";

const AT_ONCE = 2;
const RECONNECT_MS = 2000;

/**
 * @typedef {Object} Item
 * @property {string} key
 * @property {string} name
 * @property {"queued"|"sending"|"waiting"|"working"|"done"|"failed"} state
 * @property {number} share of the bytes sent, 0 to 1
 * @property {string} stage
 * @property {string} reason
 * @property {string} documentId
 * @property {string} jobId
 */

let items = [];
let sending = 0;
let serial = 0;
let stopSending = new AbortController();
let following = null;
const listeners = { change: () => {}, settled: () => {} };

export function uploadItems() {
  return items;
}

/** @param {{change: () => void, settled: () => void}} callbacks until the returned call */
export function watchUploads(callbacks) {
  Object.assign(listeners, callbacks);
  return () => Object.assign(listeners, { change: () => {}, settled: () => {} });
}

const ENDED = new Set(["done", "failed"]);

export function hasEnded(item) {
  return ENDED.has(item.state);
}

/** Take what has ended off the list. */
export function clearEnded() {
  items = items.filter((item) => !hasEnded(item));
  listeners.change();
}

function fresh(name, state) {
  serial += 1;
  return {
    key: `upload-${serial}`,
    name,
    state,
    share: 0,
    stage: "",
    reason: "",
    documentId: "",
    jobId: "",
  };
}

/** @param {import("./drops.js").Found[]} found */
export function addFiles(found) {
  items.push(...found.map(({ file, name }) => ({ ...fresh(name, "queued"), file })));
  listeners.change();
  sendNext();
}

function sendNext() {
  const base = get("base");
  for (const item of items) {
    if (sending >= AT_ONCE) return;
    if (item.state === "queued") sendOne(item, base);
  }
}

async function sendOne(item, base) {
  sending += 1;
  item.state = "sending";
  const progress = (share) => {
    item.share = share;
    listeners.change();
  };
  try {
    const job = await api.upload(base, item.name, item.file, progress, stopSending.signal);
    if (!item.jobId) applyJob(item, job); // else the list of jobs has told more since
    follow(base);
  } catch (error) {
    item.state = "failed";
    item.reason = error.message;
    item.remedy = error.remedy ?? "";
  }
  item.file = null;
  sending -= 1;
  listeners.change();
  sendNext();
  if (items.every(hasEnded)) listeners.settled();
}

function applyJob(item, job) {
  item.jobId = job.id;
  item.state = job.state;
  item.stage = job.stage;
  item.reason = job.reason;
  item.documentId = job.document_id;
}

/** The file whose job is heard of here before the upload's own answer has come. */
function sentAs(job) {
  return items.find((item) => item.state === "sending" && item.name === job.path);
}

/** An unfinished job of an earlier visit joins the list. */
function joining(job) {
  if (ENDED.has(job.state)) return null;
  const item = fresh(job.path, job.state);
  items.push(item);
  return item;
}

/** Bring the list in line with the server's jobs. */
function applyJobs(jobs) {
  const before = items.filter(hasEnded).length;
  const byJob = new Map(items.filter((item) => item.jobId).map((item) => [item.jobId, item]));
  for (const job of jobs) {
    const item = byJob.get(job.id) ?? sentAs(job) ?? joining(job);
    if (item) applyJob(item, job);
  }
  listeners.change();
  if (items.filter(hasEnded).length > before) listeners.settled();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Listen to the base's jobs for as long as anything is under way or the page is open. */
export async function follow(base) {
  if (following?.base === base) return;
  following?.controller.abort();
  const mine = { base, controller: new AbortController() };
  following = mine;
  while (following === mine) {
    try {
      for await (const event of api.jobEvents(base, mine.controller.signal)) {
        if (following === mine && event.type === "jobs") applyJobs(event.jobs);
      }
    } catch (error) {
      if (error.name === "AbortError" || (error.status >= 400 && error.status < 500)) break;
    }
    await pause(RECONNECT_MS);
  }
  if (following === mine) following = null;
}

/** Stop listening, unless something is still under way. */
export function unfollow() {
  if (items.some((item) => !hasEnded(item))) return;
  following?.controller.abort();
  following = null;
}

on("base", () => {
  stopSending.abort();
  stopSending = new AbortController();
  following?.controller.abort();
  following = null;
  items = [];
  listeners.change();
});
