/** Making and removing knowledge bases. */

import { api } from "./api.js";
import { confirmDialog, openDialog } from "./dialog.js";
import { el, fill, freshId } from "./dom.js";
import { count, t } from "./i18n.js";
import { errorCard, toast, toastError, undoable } from "./notices.js";
import { refreshBases } from "./refresh.js";
import { get, set, setBases } from "./state.js";

export const SAMPLE_BASE = "sample";

/** An id for a title: letters, digits and dashes; a title with none of these gets a numbered one. */
export function idFor(title, taken) {
  const stem = title
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40);
  const first = stem || "base";
  let id = first;
  for (let n = 2; taken.includes(id); n += 1) id = `${first}-${n}`;
  return id;
}

export function openNewBase() {
  const id = freshId("base-title");
  const field = el("input.input", { id, required: true, maxlength: 100, autocomplete: "off" });
  const problem = el("div");
  const taken = () => get("bases").map((base) => base.id);

  async function submit(event) {
    event.preventDefault();
    const title = field.value.trim();
    if (!title) return;
    try {
      const baseId = idFor(title, taken());
      await api.createBase(baseId, title);
      await refreshBases();
      dialog.close();
      set("base", baseId);
    } catch (error) {
      fill(problem, errorCard(error));
    }
  }

  const form = el(
    "form.form",
    { on: { submit } },
    el("label.label", { for: id }, t("base.title")),
    field,
    problem,
    el("div.dialog-actions", {}, el("button.button.primary", { type: "submit" }, t("base.create"))),
  );
  const dialog = openDialog({ title: t("base.new") }, form);
  field.focus();
}

/** The sample goes with one click, and comes back with another while the toast shows. */
function removeSample(base) {
  const before = get("bases");
  setBases(before.filter((one) => one.id !== base.id));
  const remove = () => api.removeBase(base.id).then(refreshBases).catch(failed);
  const failed = (error) => (toastError(error), setBases(before));
  undoable(t("base.sample.removed"), remove, () => (setBases(before), set("base", base.id)));
}

export async function removeBase(base) {
  if (base.id === SAMPLE_BASE) {
    removeSample(base);
    return;
  }
  const sure = await confirmDialog({
    title: t("base.remove.title", { title: base.title }),
    text: t("base.remove.text", { documents: count("count.documents", base.documents) }),
    action: t("base.remove"),
  });
  if (!sure) return;
  try {
    await api.removeBase(base.id);
    await refreshBases();
    toast(t("base.removed", { title: base.title }));
  } catch (error) {
    toastError(error);
  }
}
