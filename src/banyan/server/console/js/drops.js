/** What was dropped or chosen, as a flat list of files with their paths inside the folder. */

/** @typedef {{file: File, name: string}} Found */

function readFile(entry, path) {
  return new Promise((resolve) => {
    entry.file(
      (file) => resolve([{ file, name: path + file.name }]),
      () => resolve([]), // it has gone since the drop; the others still come
    );
  });
}

function readSome(reader) {
  return new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
}

/** A folder's reader gives its entries in parts, and an empty part at the end. */
async function readFolder(entry, path) {
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const entries = await readSome(reader);
    if (!entries.length) return found;
    for (const inner of entries) found.push(...(await walk(inner, `${path}${entry.name}/`)));
  }
}

function walk(entry, path = "") {
  return entry.isDirectory ? readFolder(entry, path) : readFile(entry, path);
}

function isHidden({ name }) {
  return name.split("/").some((part) => part.startsWith("."));
}

/**
 * @param {DataTransfer} transfer
 * @returns {Promise<Found[]>} every file, folders walked; hidden ones (.DS_Store) left out
 */
export async function droppedFiles(transfer) {
  // entries must be taken before the first wait: the transfer empties after the event
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? null);
  const plain = items.map((item) => item.getAsFile());
  const lists = await Promise.all(
    entries.map((entry, index) => {
      if (entry) return walk(entry);
      return plain[index] ? [{ file: plain[index], name: plain[index].name }] : [];
    }),
  );
  return lists.flat().filter((found) => !isHidden(found));
}

/** @param {FileList} files from a file or folder button */
export function chosenFiles(files) {
  return [...files]
    .map((file) => ({ file, name: file.webkitRelativePath || file.name }))
    .filter((found) => !isHidden(found));
}
