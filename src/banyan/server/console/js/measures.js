/** What is measured between machines, as people write it. */

import { duration, number } from "./i18n.js";

/** A short time: 118 µs, 1.4 ms. */
export function latency(seconds) {
  return seconds < 0.001 ? `${number(seconds * 1e6)} µs` : duration(seconds);
}

/** Bytes per second as networks are named, in bits: 941 Mbit/s, 12.4 Gbit/s. */
export function linkRate(bytesPerSecond) {
  const megabits = (bytesPerSecond * 8) / 1e6;
  if (megabits < 1000) return `${number(megabits)} Mbit/s`;
  return `${number(megabits / 1000, 1)} Gbit/s`;
}

/** The size of a message, which is a power of two: 64 KiB. */
export function messageSize(bytes) {
  return bytes < 1 << 20 ? `${number(bytes / 1024)} KiB` : `${number(bytes / (1 << 20))} MiB`;
}
