/** Fetching what several pages lean on: the list of bases, and the models. */

import { api } from "./api.js";
import { set, setBases } from "./state.js";

export async function refreshBases() {
  setBases((await api.bases()).bases);
}

/** @returns {Promise<Object>} the whole answer: models, catalogue, connections, answer_model */
export async function refreshModels() {
  const answer = await api.models();
  set("models", answer.models);
  set("answerModel", answer.answer_model);
  return answer;
}
