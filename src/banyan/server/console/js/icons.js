/** The console's icons: strokes on a 24-unit grid, hidden from screen readers. */

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  alert:
    "M12 8v5M12 16.5v.01M10.3 4.3 2.9 17.2A2 2 0 0 0 4.6 20.2h14.8a2 2 0 0 0 1.7-3L13.7 4.3a2 2 0 0 0-3.4 0z",
  arrow: "M5 12h14M13 6l6 6-6 6",
  ask: "M12 3.5a8.5 8.5 0 1 0 4.3 15.9l4.2 1.1-1.1-4.2A8.5 8.5 0 0 0 12 3.5zM9.7 9.6a2.4 2.4 0 1 1 3.6 2.1c-.8.5-1.3.9-1.3 1.8M12 16.3v.01",
  bars: "M5 20v-7M12 20V5M19 20v-10",
  chat: "M20.5 14.5a2.5 2.5 0 0 1-2.5 2.5H8.5L4 20.5V6.5A2.5 2.5 0 0 1 6.5 4H18a2.5 2.5 0 0 1 2.5 2.5zM8.5 9h7.5M8.5 12.5h5",
  check: "M5 12.5 10 17.5 19.5 7",
  chevron: "M6 9.5l6 6 6-6",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h9.5a1.5 1.5 0 0 1 1.5 1.5V20a1.5 1.5 0 0 1-1.5 1.5H9A1.5 1.5 0 0 1 7.5 20v-9.5A1.5 1.5 0 0 1 9 9zM5.5 15.5H5A1.5 1.5 0 0 1 3.5 14V4.5A1.5 1.5 0 0 1 5 3h9.5A1.5 1.5 0 0 1 16 4.5V5",
  documents:
    "M7.5 3.5h6l4.5 4.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 6 17V5a1.5 1.5 0 0 1 1.5-1.5zM13 3.5V8.5h5M9 21.5h8.5a3 3 0 0 0 3-3V12M9 12h6M9 15h4",
  download: "M12 4v11M7.5 10.5 12 15l4.5-4.5M4.5 19.5h15",
  file: "M7 3h7l5 5v11.5A1.5 1.5 0 0 1 17.5 21h-10.5A1.5 1.5 0 0 1 5.5 19.5v-15A1.5 1.5 0 0 1 7 3zM13.5 3v5.5H19",
  folder:
    "M3.5 7A1.5 1.5 0 0 1 5 5.5h4.5l2 2.5H19a1.5 1.5 0 0 1 1.5 1.5V18a1.5 1.5 0 0 1-1.5 1.5H5A1.5 1.5 0 0 1 3.5 18z",
  info: "M12 11v5.5M12 7.5v.01M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z",
  key: "M15 3.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM11 13l-7 7v.5h3.5V18H10v-2.5l1.5-1.5M16.5 7.5v.01",
  monitor:
    "M4.5 4.5h15A1.5 1.5 0 0 1 21 6v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 15V6a1.5 1.5 0 0 1 1.5-1.5zM8.5 20.5h7M12 16.5v4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  out: "M14 4.5H6.5A1.5 1.5 0 0 0 5 6v12a1.5 1.5 0 0 0 1.5 1.5H14M10 12h10.5M17 8.5l3.5 3.5-3.5 3.5",
  plug: "M9 3.5v5M15 3.5v5M6.5 8.5h11v3a5.5 5.5 0 0 1-11 0zM12 17v4",
  plus: "M12 5v14M5 12h14",
  retry: "M19.5 12a7.5 7.5 0 1 1-2.3-5.4L19.5 9M19.5 4v5h-5",
  search: "M11 4.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM16 16l4.5 4.5",
  send: "M12 19.5V5M6 10.5 12 4.5l6 6",
  settings:
    "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.8a2.2 2.2 0 1 0 0 4.4 2.2 2.2 0 0 0 0-4.4zM9 14.8a2.2 2.2 0 1 0 0 4.4 2.2 2.2 0 0 0 0-4.4z",
  stop: "M8 7h8a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H8a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5V5M12 19v2.5M2.5 12H5M19 12h2.5M5.3 5.3 7 7M17 17l1.7 1.7M18.7 5.3 17 7M7 17l-1.7 1.7",
  system: "M4 18a8.5 8.5 0 1 1 16 0M12 14l4-5M12 14.5v.01",
  trash:
    "M4.5 6.5h15M9.5 6V4.5a1 1 0 0 1 1-1h3a1 1 0 0 1 1 1V6M6.5 6.5l.8 12.6a1.5 1.5 0 0 0 1.5 1.4h6.4a1.5 1.5 0 0 0 1.5-1.4l.8-12.6M10 10.5v6M14 10.5v6",
  upload: "M12 16V4.5M7.5 9 12 4.5 16.5 9M4.5 19.5h15",
};

function svg(name, viewBox) {
  const node = document.createElementNS(SVG, "svg");
  node.setAttribute("viewBox", viewBox);
  node.setAttribute("class", name);
  node.setAttribute("aria-hidden", "true");
  node.setAttribute("focusable", "false");
  return node;
}

function path(d, attributes = {}) {
  const node = document.createElementNS(SVG, "path");
  node.setAttribute("d", d);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** @param {keyof typeof PATHS} name */
export function icon(name) {
  const node = svg("icon", "0 0 24 24");
  node.append(path(PATHS[name]));
  return node;
}

/** The product's mark: one canopy on many thin trunks. */
export function productMark() {
  const node = svg("mark-tree", "0 0 32 32");
  node.append(
    path(
      "M5.1 16.2c-2 0-3.5-1.5-3.5-3.4 0-1.8 1.3-3.2 3.1-3.4.4-2.7 2.7-4.4 5.3-4.2" +
        "C11.3 3 13.5 1.7 16 1.7s4.7 1.3 6 3.5c2.6-.2 4.9 1.5 5.3 4.2 1.8.2 3.1 1.6 3.1 3.4" +
        " 0 1.9-1.5 3.4-3.5 3.4z",
      { class: "canopy" },
    ),
    path("M16 15v15", { class: "trunk" }),
    path("M11 15v11.5M21 15v11.5M6.5 15v6.5M25.5 15v6.5", { class: "roots" }),
  );
  return node;
}
