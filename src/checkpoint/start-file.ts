import { join } from "node:path";
import type { Devices } from "./devices.js";
import { withErrors } from "./errors.js";
import { type FileContent, fillSlots } from "./fill.js";
import type { NewFile, Sink, WithCommit } from "./sink.js";

/** A file whose content has been copied, on its way. */
export interface StartedFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** It is whole and has its name. */
  readonly committed: Promise<void>;
  /** Resolves when it is in the volume; after it was committed. */
  published(): Promise<void>;
}

export interface SaveMeans {
  readonly sink: Sink;
  readonly devices: Devices;
}

/**
 * Saves a file of this content. Resolves when that has been copied.
 * @param withCommit asked for when all has been written. If that fails, so does the file.
 * @throws CheckpointError exists, no-space …; nothing is left then.
 */
export async function startFile(
  file: Omit<NewFile, "sizeBytes">,
  content: FileContent,
  { sink, devices }: SaveMeans,
  withCommit: () => Promise<WithCommit> = nothing,
): Promise<StartedFile> {
  const path = join(file.directory, file.fileName);
  const { sizeBytes } = content.layout;
  const target = await withErrors(path, () => sink.begin({ ...file, sizeBytes }));
  const orCancel = async <T>(task: () => Promise<T>): Promise<T> => {
    try {
      return await task();
    } catch (error) {
      await target.cancel();
      throw error;
    }
  };
  const { written } = await orCancel(() => fillSlots({ content, target, sink, devices }));
  const committed = written.then(async () => target.commit(await orCancel(withCommit)));
  return { path, sizeBytes, committed, published: () => target.published() };
}

async function nothing(): Promise<WithCommit> {
  return {};
}
