/** Hash routes: #/ask, #/documents ... Each page mounts into the main element and unmounts again. */

/**
 * @typedef {{mount: (root: HTMLElement) => (() => void)}} Page
 * @param {Object<string, Page>} pages the first one is home
 * @param {(name: string) => void} onChange called after each change of page
 */
export function createRouter(pages, onChange) {
  const home = Object.keys(pages)[0];
  let unmount = () => {};
  let outlet = null;

  function name() {
    const wanted = location.hash.replace(/^#\/?/, "").split(/[/?]/)[0];
    return pages[wanted] ? wanted : home;
  }

  function show() {
    unmount();
    outlet.replaceChildren();
    unmount = pages[name()].mount(outlet);
    onChange(name());
  }

  addEventListener("hashchange", () => {
    if (!outlet) return;
    show();
    outlet.focus({ preventScroll: true });
  });

  return {
    name,
    /** Show the current page in `node`, or again after the words or the base have changed. */
    render(node = outlet) {
      outlet = node;
      show();
    },
    close() {
      unmount();
      unmount = () => {};
      outlet = null;
    },
  };
}

/** Go to a page by name. */
export function go(name) {
  location.hash = `#/${name}`;
}
