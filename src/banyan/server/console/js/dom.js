/**
 * Building DOM nodes. Text only ever becomes a text node here, so nothing that a document, a file
 * name or a model says can turn into markup.
 */

/**
 * Make an element. `spec` is a tag with classes ("div.card.wide"); `props` are attributes, where
 * null, undefined and false leave one out and true sets it empty; `on` maps event names to handlers.
 *
 * @param {string} spec
 * @param {Object<string, *>} [props]
 * @param {...(Node|string|number|null|false|undefined|Array)} children
 * @returns {HTMLElement}
 */
export function el(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props ?? {})) setProp(node, name, value);
  append(node, children);
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** Make an element of a drawing; as `el`, but its first argument is the tag alone. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) setProp(node, name, value);
  append(node, children);
  return node;
}

/** Properties that are not attributes, or whose attribute is only the starting value. */
const LIVE = new Set(["value", "checked", "indeterminate", "disabled", "multiple"]);

function setProp(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "on") {
    for (const [type, handler] of Object.entries(value)) node.addEventListener(type, handler);
  } else if (LIVE.has(name)) {
    node[name] = value;
  } else if (/^on|^style$/i.test(name)) {
    throw new Error(`${name} would be refused by the content security policy`);
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Append children; strings and numbers as text, arrays flattened, nothing for null and false. */
export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replace everything inside `node`. */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

/**
 * Bring the children of `parent` in line with `items`, keeping the node of every known key.
 *
 * @template T
 * @param {HTMLElement} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement & {update?: (item: T) => void}} create
 */
export function reconcile(parent, items, keyOf, create) {
  const known = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  const wanted = items.map((item) => {
    const key = keyOf(item);
    const node = known.get(key) ?? create(item);
    node.dataset.key = key;
    node.update?.(item);
    return node;
  });
  const kept = new Set(wanted);
  for (const node of known.values()) if (!kept.has(node)) node.remove();
  wanted.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
}

/**
 * A way to show facts in `node` that does nothing while they stay the same, so that what is open
 * there, or has the focus, stays so.
 */
export function showing(node, draw) {
  let shown = null;
  return (facts) => {
    const text = JSON.stringify(facts);
    if (text === shown) return;
    shown = text;
    fill(node, draw(facts));
  };
}

/** Call `work` once before the next frame, however often it is asked for. */
export function oncePerFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work();
    });
  };
}

/** Three dots that breathe: something is under way. */
export function dots() {
  return el("span.dots", { "aria-hidden": "true" }, el("i"), el("i"), el("i"));
}

let serial = 0;

/** An id no other element has, for labels and descriptions. */
export function freshId(stem) {
  serial += 1;
  return `${stem}-${serial}`;
}
