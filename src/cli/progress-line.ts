const REDRAW_INTERVAL_MS = 100;
const LOG_INTERVAL_MS = 5000;

/** Where progress goes: a terminal, or a file or pipe that somebody reads later. */
export type ProgressStream = Pick<NodeJS.WriteStream, "write" | "isTTY" | "columns">;

/**
 * Says what is going on while the user waits, on stderr: one line that changes on a terminal; elsewhere a line every
 * few seconds, so that a log shows that something happens and does not fill up.
 */
export class ProgressLine {
  readonly #stream: ProgressStream;
  readonly #nowMs: () => number;
  #lastText = "";
  #lastWriteMs: number;
  #drawn = false;

  constructor(stream: ProgressStream = process.stderr, nowMs: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#nowMs = nowMs;
    // On a terminal at once; in a log only what takes long.
    this.#lastWriteMs = stream.isTTY ? Number.NEGATIVE_INFINITY : nowMs();
  }

  show(text: string): void {
    const nowMs = this.#nowMs();
    const intervalMs = this.#stream.isTTY ? REDRAW_INTERVAL_MS : LOG_INTERVAL_MS;
    if (text === this.#lastText || nowMs - this.#lastWriteMs < intervalMs) return;
    this.#lastText = text;
    this.#lastWriteMs = nowMs;
    if (!this.#stream.isTTY) {
      this.#stream.write(`podfs: ${text}\n`);
      return;
    }
    const width = Math.max(20, (this.#stream.columns ?? 80) - 1);
    this.#stream.write(`\r\u001b[K${text.length > width ? `${text.slice(0, width - 1)}…` : text}`);
    this.#drawn = true;
  }

  /** Takes the line away: what follows is the result. */
  clear(): void {
    if (this.#drawn) this.#stream.write("\r\u001b[K");
    this.#drawn = false;
  }
}
