import type { FileContent } from "./fill.js";
import { dataFiles, type Layout, type NewSave, ownFile, planLayout } from "./layout.js";
import { indexFile } from "./names.js";
import { encodeIndex, filesToIndex } from "./ranks.js";
import { replacedFiles, superseded } from "./retention.js";
import { RunningSave } from "./save.js";
import { bytesContent } from "./save-content.js";
import { type SaveMeans, type StartedFile, startFile } from "./start-file.js";

/** What is to be saved, and how. */
export interface SaveRequest extends NewSave {
  readonly content: FileContent;
  readonly nowMs: number;
  /** So many checkpoints stay; all, if absent. */
  readonly keep: number | undefined;
  /** Settles when the saves of this program that were begun before, of the same name, have ended. Never rejects. */
  readonly sameBefore: Promise<unknown>;
  /** The same of all names: only then it can be told which checkpoints are superseded. */
  readonly allBefore: Promise<unknown>;
}

/**
 * Saves this process's file of a checkpoint, and with the last one the index. Resolves when the tensors have been copied.
 * @throws CheckpointError exists, no-space …; nothing is left then.
 */
export async function startSave(request: SaveRequest, means: SaveMeans): Promise<RunningSave> {
  const { directory, ranks, content, overwrite, nowMs, keep, sameBefore, allBefore } = request;
  const layout = await planLayout(request);
  const fileName = ownFile(layout);
  if (ranks === 1) {
    const file = await startFile({ directory, fileName, replace: overwrite }, content, means, async () => {
      await sameBefore;
      return { retire: await retired(request, layout, nowMs) };
    });
    return new RunningSave(request.checkpoint, file, file);
  }
  // It replaces what a save that was killed has left under this name.
  const file = await startFile({ directory, fileName, replace: true }, content, means, async () => {
    // An index that came after that of a later save would name files that are gone; what it is to supersede has its own by then.
    await (keep === undefined ? sameBefore : allBefore);
    // One of them may have completed a checkpoint of this name, whose files may not be touched.
    await planLayout(request);
    return {};
  });
  const index = file.committed.then(() => startIndex(request, layout, means));
  return new RunningSave(request.checkpoint, file, {
    committed: index.then((started) => started?.committed),
    published: async () => {
      await file.published();
      await (await index)?.published();
    },
  });
}

/** The index goes into the volume after all files that it names, and what the checkpoint replaces goes out after the index. */
async function startIndex(request: SaveRequest, layout: Layout, means: SaveMeans): Promise<StartedFile | undefined> {
  const { directory, checkpoint, nowMs } = request;
  const files = await filesToIndex(layout);
  if (files === undefined) return undefined;
  const startMs = Math.min(...files.map(({ savedMs }) => savedMs ?? nowMs));
  const content = bytesContent(encodeIndex(layout, files));
  return startFile({ directory, fileName: indexFile(checkpoint), replace: true }, content, means, async () => {
    return { after: dataFiles(layout), retire: await retired(request, layout, startMs) };
  });
}

/** What goes when the new checkpoint is in the volume. */
async function retired(request: SaveRequest, layout: Layout, startMs: number): Promise<string[]> {
  const { directory, checkpoint, ranks, overwrite, keep, allBefore } = request;
  // Without any of these, there is nothing else under this name.
  const replaced = ranks > 1 || overwrite || keep !== undefined ? await replacedFiles(layout, startMs, overwrite) : [];
  if (keep === undefined) return replaced;
  await allBefore;
  return [...replaced, ...(await superseded(directory, keep, checkpoint))];
}
