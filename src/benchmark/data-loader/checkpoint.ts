import type { LoopResult } from "../../native/index.js";
import { head, reading } from "../readings.js";
import type { MeasurementHead, Reading, Site, Step } from "../site.js";
import { ImageTree } from "./images.js";
import { LoaderProcesses } from "./loader-processes.js";

const MIB = 2 ** 20;
const NAME = "checkpoint";
const GROUP = "checkpoint";
/** Of a step's time. */
const READ_ALONE_FACTOR = 3;

/**
 * Training that saves: as many processes as there are ranks write a shard each and fsync it, while as many read images. Both
 * are done alone as well, to see what one costs the other.
 */
export function checkpoint(site: Site): readonly Step[] {
  const tree = new ImageTree(site);
  const { threads } = site.options;
  const of = (id: string, title: string, unit: "s" | "samples/s"): MeasurementHead => ({
    ...head(GROUP, id, title, unit),
    threads,
  });
  const readAlone = of("checkpoint-read-alone", "images read", "samples/s");
  const readSaving = of("checkpoint-read-saving", "images read while saving", "samples/s");
  const saveAlone = of("checkpoint-save-alone", "save, fsync", "s");
  const saveReading = of("checkpoint-save-reading", "save, fsync while reading", "s");
  return [
    tree.write(of("checkpoint-images-write", "images written", "samples/s")),
    { title: readAlone.title, run: () => read(site, tree, readAlone) },
    { title: saveAlone.title, run: () => withShards(site, async () => [saved(saveAlone, await save(site))]) },
    {
      title: saveReading.title,
      run: () => withShards(site, () => saveWhileReading(site, tree, { readSaving, saveReading })),
    },
    { title: "removing the images", run: () => tree.remove() },
  ];
}

async function read(site: Site, tree: ImageTree, of: MeasurementHead): Promise<readonly Reading[]> {
  const microsMax = site.options.stepMs * 1000 * READ_ALONE_FACTOR;
  const request = { ...tree.shuffled(), repeat: true, microsMax };
  return [reading(of, await LoaderProcesses.with(site.options.threads, site.watch, (all) => all.run(() => request)))];
}

async function saveWhileReading(
  site: Site,
  tree: ImageTree,
  of: { readonly readSaving: MeasurementHead; readonly saveReading: MeasurementHead },
): Promise<readonly Reading[]> {
  return LoaderProcesses.with(site.options.threads, site.watch, async (readers) => {
    const request = { ...tree.shuffled(), repeat: true };
    const reads = readers.run(() => request);
    const saving = save(site).finally(() => readers.cancel());
    // If one fails, the other has ended too before what it works on is removed.
    await Promise.allSettled([saving, reads]);
    return [saved(of.saveReading, await saving), reading(of.readSaving, await reads)];
  });
}

function save(site: Site): Promise<LoopResult> {
  const { threads, sizeBytes } = site.options;
  const fileSize = Math.max(MIB, Math.floor(sizeBytes / threads / MIB) * MIB);
  return LoaderProcesses.with(threads, { signal: site.watch.signal }, (writers) =>
    writers.run((index) => {
      const path = site.path(`${NAME}/shard-${index}`);
      return { loop: "write", path, fileSize, blockSize: MIB, share: 0, shares: 1 };
    }),
  );
}

function saved(of: MeasurementHead, { seconds, syncSeconds }: LoopResult): Reading {
  return { of, value: seconds + syncSeconds };
}

async function withShards<T>(site: Site, run: () => Promise<T>): Promise<T> {
  await site.makeTree(NAME, 0);
  const result = await run();
  await site.remove(NAME);
  return result;
}
