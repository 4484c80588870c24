import type { LoopResult } from "../../native/index.js";
import type { LoopRequest } from "../native-loop.js";
import { head, reading } from "../readings.js";
import type { MeasurementHead, Reading, Site, Step } from "../site.js";
import { LoaderProcesses } from "./loader-processes.js";

/** As JPEGs of the usual data sets. All sizes between are as likely. */
const IMAGE_BYTES_MIN = 4 << 10;
const IMAGE_BYTES_MAX = 200 << 10;
export const IMAGE_BYTES_MEAN = (IMAGE_BYTES_MIN + IMAGE_BYTES_MAX) / 2;
const FILES_PER_DIRECTORY_MAX = 1000;
const NAME = "images";

function samples(id: string, title: string, threads: number): MeasurementHead {
  // The number of processes is what a data loader is about, so it is no "parallel" variant of something.
  return { ...head("data loader", id, title, "samples/s"), threads };
}

/**
 * A tree as torchvision's ImageFolder reads it, read twice in shuffled order by several processes. Each opens a file, reads
 * it to its end and closes it: native loops, no decoding.
 */
export function images(site: Site): readonly Step[] {
  const tree = new ImageTree(site);
  const { threads } = site.options;
  const cold = samples("images-epoch-cold", "images, epoch 1, cold", threads);
  const warm = samples("images-epoch-warm", "images, epoch 2, warm", threads);
  return [
    tree.write(samples("images-write", "images written", threads)),
    {
      title: cold.title,
      run: async () => ((await tree.makeCold()) ? [reading(cold, await tree.readOnce())] : []),
    },
    { title: warm.title, run: async () => [reading(warm, await tree.readOnce())] },
    { title: "removing the images", run: () => tree.remove() },
  ];
}

export class ImageTree {
  readonly #site: Site;
  readonly #request: Omit<LoopRequest, "loop">;
  readonly #directories: number;
  #bytes = 0;

  constructor(site: Site) {
    const { files } = site.options;
    const filesPerDirectory = Math.min(files, FILES_PER_DIRECTORY_MAX);
    this.#site = site;
    this.#directories = Math.ceil(files / filesPerDirectory);
    this.#request = {
      ...{ path: site.path(NAME), files, filesPerDirectory },
      ...{ blockSize: IMAGE_BYTES_MAX, blockSizeMin: IMAGE_BYTES_MIN },
    };
  }

  /** However long it takes: half a data set would be another data set. */
  write(of: MeasurementHead): Step {
    const run = async (): Promise<readonly Reading[]> => {
      await this.#site.makeTree(NAME, this.#directories);
      const result = await this.#site.runToEnd({ ...this.#request, loop: "create", threads: of.threads });
      this.#bytes = result.amount;
      return [reading(of, result)];
    };
    return { title: of.title, run };
  }

  makeCold(): Promise<boolean> {
    const { threads } = this.#site.options;
    return this.#site.makeCold({ ...this.#request, loop: "drop-files", threads }, this.#bytes);
  }

  /** All of it, by as many processes as there are to be. */
  readOnce(): Promise<LoopResult> {
    const request = this.shuffled();
    return LoaderProcesses.with(this.#site.options.threads, this.#site.watch, (all) => all.run(() => request));
  }

  /** Reads all, in one order for all that share it. */
  shuffled(): LoopRequest {
    return { ...this.#request, loop: "read-files", shuffle: true, seed: this.#site.newSeed() };
  }

  remove(): Promise<readonly Reading[]> {
    return this.#site.remove(NAME).then(() => []);
  }
}
