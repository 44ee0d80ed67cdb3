/** Reading server-sent events from a fetch response, so that a POST can stream and be stopped. */

/**
 * The data of each event in a stream of text pieces, however the pieces are cut.
 * Comments (heartbeats) and other fields are passed over, as the standard says.
 *
 * @param {AsyncIterable<string>} pieces
 * @returns {AsyncGenerator<string>}
 */
export async function* eventData(pieces) {
  let rest = "";
  let data = [];
  for await (const piece of pieces) {
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (data.length) yield data.join("\n");
        data = [];
      } else if (line.startsWith("data:")) {
        data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
  }
}

/** A response's body as text pieces, cut between characters. */
export async function* textPieces(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
