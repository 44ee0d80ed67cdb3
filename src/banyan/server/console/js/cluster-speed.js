/** Tokens per second as they were while somebody looked: the counters' growth between two looks. */

import { svg } from "./dom.js";

const LOOKS = 60;
const SIZE = { width: 160, height: 34 };

let looks = [];

/** Note how many tokens there are by now; a smaller number than before is a new group's. */
export function noteTokens(decoded, now = performance.now() / 1000) {
  const last = looks.at(-1);
  if (last && decoded < last.decoded) looks = [];
  looks = [...looks.slice(-LOOKS), { decoded, now }];
}

/** Tokens per second between each two looks. */
export function ratesSeen() {
  return looks
    .slice(1)
    .map((look, at) => (look.decoded - looks[at].decoded) / Math.max(look.now - looks[at].now, 0.1));
}

/** A line of the rates, the latest at the right; null before there are two. */
export function speedLine(rates = ratesSeen()) {
  if (rates.length < 2) return null;
  const most = Math.max(...rates, 1e-9);
  const step = SIZE.width / (LOOKS - 1);
  const start = SIZE.width - (rates.length - 1) * step;
  const points = rates.map((rate, at) => {
    const y = SIZE.height - 2 - (rate / most) * (SIZE.height - 4);
    return `${(start + at * step).toFixed(1)},${y.toFixed(1)}`;
  });
  return svg(
    "svg",
    {
      class: "speed-line",
      viewBox: `0 0 ${SIZE.width} ${SIZE.height}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    },
    svg("polyline", { points: points.join(" ") }),
  );
}
