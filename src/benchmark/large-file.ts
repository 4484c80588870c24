import type { LoopRequest } from "./native-loop.js";
import { head, reading, threadCounts } from "./readings.js";
import type { MeasurementHead, Site, Step } from "./site.js";

const MIB = 2 ** 20;
const PAGE = 4096;
/** Of a step's time: writing all of a large file is worth some waiting, since what follows reads it. */
const TRANSFER_TIME_FACTOR = 4;
const NAME = "large";
const GROUP = "large file";

const WRITE = head(GROUP, "sequential-write", "write", "B/s");
const WRITE_FSYNC = head(GROUP, "sequential-write-fsync", "write and fsync", "B/s");
const READ_COLD = head(GROUP, "sequential-read-cold", "read, cold", "B/s");

/**
 * One file, written, read and changed, in blocks of 1 MiB where nothing else is said. Reads are warm (the file has just
 * been written, and is read once before) unless they are called cold. A write is done when write(2) has returned; only
 * what names fsync includes it.
 */
export function largeFile(site: Site): readonly Step[] {
  const file = new LargeFile(site);
  const threads = threadCounts(site);
  return [
    { title: "write, fsync", run: () => file.write() },
    { title: "warming up", run: () => file.warmUp() },
    ...threads.map((count) => file.step(head(GROUP, "sequential-read", "read", "B/s", count), "read", MIB)),
    file.step(head(GROUP, "mmap-read", "mmap read", "B/s"), "map", MIB),
    ...threads.map((count) =>
      file.step(head(GROUP, "random-read-4k", "random read, 4 KiB", "operations/s", count), "read-random", PAGE),
    ),
    { title: "cold read", run: () => file.readCold() },
    // Last: an fsync of what they change can take very long, and a file that is removed needs none.
    ...threads.map((count) =>
      file.step(head(GROUP, "random-write-4k", "random write, 4 KiB", "operations/s", count), "write-random", PAGE),
    ),
    { title: "removing the large file", run: () => site.remove(NAME).then(() => []) },
  ];
}

class LargeFile {
  readonly #site: Site;
  readonly #path: string;
  // What is written, and so can be read: less than planned if the time was up; 0 before.
  #size = 0;

  constructor(site: Site) {
    this.#site = site;
    this.#path = site.path(NAME);
  }

  async write() {
    const result = await this.#transfer("write", this.#site.options.sizeBytes);
    this.#size = result.amount;
    const withSync = { ...result, seconds: result.seconds + result.syncSeconds };
    return [reading(WRITE, result), reading(WRITE_FSYNC, withSync)];
  }

  async warmUp() {
    if (this.#size > 0) await this.#transfer("read", this.#size);
    return [];
  }

  async readCold() {
    const isCold = this.#size > 0 && (await this.#site.makeCold({ loop: "drop", path: this.#path }, this.#size));
    return isCold ? [reading(READ_COLD, await this.#transfer("read", this.#size))] : [];
  }

  step(of: MeasurementHead, loop: LoopRequest["loop"], blockSize: number): Step {
    const run = async () => {
      if (this.#size === 0) return [];
      const { threads } = of;
      const request = { loop, path: this.#path, fileSize: this.#size, blockSize, threads, repeat: true };
      return [reading(of, await this.#site.run(request))];
    };
    return { title: of.title, run };
  }

  #transfer(loop: "read" | "write", fileSize: number) {
    const microsMax = this.#site.options.stepMs * 1000 * TRANSFER_TIME_FACTOR;
    return this.#site.run({ loop, path: this.#path, fileSize, blockSize: MIB, microsMax });
  }
}
