const LINE_CHARACTERS_MAX_DEFAULT = 1 << 20;

/** Cuts a stream of text into lines and parses each; what is not JSON, or too long, is an error of the other side. */
export class JsonLineParser {
  readonly #charactersMax: number;
  #partial = "";

  constructor(charactersMax = LINE_CHARACTERS_MAX_DEFAULT) {
    this.#charactersMax = charactersMax;
  }

  /** @returns the messages that became complete. @throws SyntaxError */
  push(text: string): unknown[] {
    const lines = (this.#partial + text).split("\n");
    this.#partial = lines.pop() ?? "";
    if (this.#partial.length > this.#charactersMax) throw new SyntaxError("line too long");
    return lines.filter((line) => line !== "").map((line): unknown => JSON.parse(line));
  }
}

export function encodeJsonLine(message: unknown): string {
  return `${JSON.stringify(message)}\n`;
}
