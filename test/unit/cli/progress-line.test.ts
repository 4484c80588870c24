import { describe, expect, test } from "vitest";
import { ProgressLine, type ProgressStream } from "../../../src/cli/progress-line.js";

function createStream(isTTY: boolean): { readonly stream: ProgressStream; readonly written: string[] } {
  const written: string[] = [];
  const write = (text: string | Uint8Array): boolean => written.push(String(text)) > 0;
  return { stream: { write, isTTY, columns: 20 }, written };
}

describe("progress", () => {
  test("changes one line of a terminal, cut to its width, and takes it away", () => {
    const { stream, written } = createStream(true);
    let nowMs = 0;
    const progress = new ProgressLine(stream, () => nowMs);
    progress.show("starting");
    progress.show("too soon to be seen");
    nowMs += 200;
    progress.show("something that is much too long");
    progress.clear();
    progress.clear();
    expect(written).toEqual(["\r\u001b[Kstarting", "\r\u001b[Ksomething that is m…", "\r\u001b[K"]);
  });

  test("is a line now and then in a log, and nothing when all goes fast", () => {
    const { stream, written } = createStream(false);
    let nowMs = 0;
    const progress = new ProgressLine(stream, () => nowMs);
    progress.show("starting");
    expect(written).toEqual([]);
    for (nowMs = 1000; nowMs <= 11_000; nowMs += 1000) progress.show(`at ${nowMs} ms`);
    progress.clear();
    expect(written).toEqual(["podfs: at 5000 ms\n", "podfs: at 10000 ms\n"]);
  });
});
