import { head, reading } from "../readings.js";
import type { MeasurementHead, Reading, Site, Step } from "../site.js";
import { LoaderProcesses } from "./loader-processes.js";

/** 4,096 tokens of 16 bits: a usual context. */
const WINDOW_BYTES = 8192;
const MIB = 2 ** 20;
const NAME = "tokens";
/** Of a step's time. */
const TIME_FACTOR = 3;

/** One file of tokens, mapped by several processes that copy windows from anywhere in it, as nanoGPT and Megatron do. */
export function tokens(site: Site): readonly Step[] {
  const path = site.path(NAME);
  const { threads, sizeBytes: fileSize, stepMs } = site.options;
  const windows = (id: string, title: string): MeasurementHead => ({
    ...head("data loader", id, title, "samples/s"),
    threads,
  });
  const read = async (of: MeasurementHead, operationsMax: number): Promise<readonly Reading[]> => {
    const limits = { operationsMax, microsMax: stepMs * 1000 * TIME_FACTOR };
    const seed = site.newSeed();
    const request = { loop: "map-random", path, fileSize, blockSize: WINDOW_BYTES, seed, ...limits } as const;
    return [reading(of, await LoaderProcesses.with(threads, site.watch, (all) => all.run(() => request)))];
  };
  const cold = windows("tokens-cold", "windows of 8 KiB, cold");
  const warm = windows("tokens-warm", "windows of 8 KiB, warm");
  // A fault brings what is around it, so after more of them most is warm.
  const coldWindows = Math.max(1, Math.floor(fileSize / MIB / threads));
  const all = { path, fileSize, blockSize: MIB };
  return [
    { title: "writing tokens", run: () => site.runToEnd({ ...all, loop: "write" }).then(() => []) },
    {
      title: cold.title,
      run: async () => ((await site.makeCold({ loop: "drop", path }, fileSize)) ? read(cold, coldWindows) : []),
    },
    { title: "reading tokens once", run: () => site.runToEnd({ ...all, loop: "read" }).then(() => []) },
    { title: warm.title, run: () => read(warm, 0) },
    { title: "removing tokens", run: () => site.remove(NAME).then(() => []) },
  ];
}
