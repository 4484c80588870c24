import type { TensorPlace } from "../format/index.js";
import { type CheckpointFile, OpenFiles } from "./checkpoint-file.js";
import { CheckpointError } from "./errors.js";
import { type Found, openCheckpoint, type Where } from "./open-checkpoint.js";
import { type RestoreMeans, restore } from "./restore.js";
import { checkTensor, type LoadedTensor, type Tensor, type TensorData } from "./tensors.js";

export interface LoadOptions {
  /** Only these tensors; all, if absent. */
  readonly names?: readonly string[];
  /** Only what this rank, from 0, has saved, also what others have too. */
  readonly rank?: number;
}

/** By name. */
type Targets = Readonly<Record<string, Tensor>>;

const DIFFERENCES_SHOWN = 3;

/** As {@link Stager.load}: tied tensors share their memory. */
export function load(where: Where, options: LoadOptions, means: RestoreMeans): Promise<Record<string, LoadedTensor>> {
  return withOpenFiles(async (kept) => loadNew(where, options, await openCheckpoint(where, kept, options.rank), means));
}

/** As {@link Stager.loadInto}. */
export function loadInto(where: Where, targets: Targets, means: RestoreMeans): Promise<void> {
  return withOpenFiles(async (kept) => fillTargets(where, targets, await openCheckpoint(where, kept), means));
}

async function withOpenFiles<T>(task: (kept: OpenFiles) => Promise<T>): Promise<T> {
  const kept = new OpenFiles();
  try {
    return await task(kept);
  } finally {
    await kept.close();
  }
}

async function loadNew(
  where: Where,
  options: LoadOptions,
  found: ReadonlyMap<string, Found>,
  means: RestoreMeans,
): Promise<Record<string, LoadedTensor>> {
  const names = options.names ?? [...found.keys()];
  refuseDifferences(
    where,
    names.filter((name) => !found.has(name)).map((name) => `it has no ${JSON.stringify(name)}`),
  );
  const memory = new Map<TensorPlace, LoadedTensor>();
  const wanted = names.flatMap((name): (readonly [string, Found, LoadedTensor])[] => {
    const tensor = found.get(name);
    if (tensor === undefined) return [];
    const loaded = memory.get(tensor.place) ?? newMemory(tensor);
    memory.set(tensor.place, loaded);
    return [[name, tensor, loaded]];
  });
  await restoreAll(
    wanted.map(([, tensor, { data }]) => [tensor, data]),
    means,
  );
  return Object.fromEntries(wanted.map(([name, , loaded]) => [name, loaded]));
}

async function fillTargets(
  where: Where,
  targets: Targets,
  found: ReadonlyMap<string, Found>,
  means: RestoreMeans,
): Promise<void> {
  const differences: string[] = [];
  const wanted: (readonly [Found, TensorData])[] = [];
  for (const [name, target] of Object.entries(targets)) {
    checkTensor(name, target);
    const tensor = found.get(name);
    if (tensor === undefined) differences.push(`it has no ${JSON.stringify(name)}`);
    else if (!sameType(tensor.place, target)) {
      differences.push(`${JSON.stringify(name)} is ${typeOf(tensor.place)}, not ${typeOf(target)}`);
    } else wanted.push([tensor, target.data]);
  }
  refuseDifferences(where, differences);
  await restoreAll(wanted, means);
}

async function restoreAll(wanted: readonly (readonly [Found, TensorData])[], means: RestoreMeans): Promise<void> {
  const byFile = new Map<CheckpointFile, Map<TensorPlace, TensorData[]>>();
  for (const [{ file, place }, data] of wanted) {
    const destinations = byFile.get(file) ?? new Map<TensorPlace, TensorData[]>();
    const there = destinations.get(place) ?? [];
    if (!there.includes(data)) there.push(data);
    byFile.set(file, destinations.set(place, there));
  }
  for (const [file, destinations] of byFile) await restore({ file, destinations }, means);
}

function newMemory({ file, place }: Found): LoadedTensor {
  const { name, dtype, shape, sizeBytes } = place;
  try {
    return { dtype, shape, data: new Uint8Array(sizeBytes) };
  } catch (cause) {
    const what = `${file.path}: tensor ${JSON.stringify(name)} of ${sizeBytes} bytes`;
    throw new CheckpointError("no-memory", `${what} does not fit an array of this Node.js`, { cause });
  }
}

function refuseDifferences({ directory, name }: Where, differences: readonly string[]): void {
  if (differences.length === 0) return;
  const more = differences.length - DIFFERENCES_SHOWN;
  const shown = differences.slice(0, DIFFERENCES_SHOWN).join("; ") + (more > 0 ? `; and ${more} more` : "");
  throw new CheckpointError("mismatch", `checkpoint ${name} in ${directory}: ${shown}`);
}

function sameType(a: Pick<TensorPlace, "dtype" | "shape">, b: Pick<TensorPlace, "dtype" | "shape">): boolean {
  return a.dtype === b.dtype && a.shape.length === b.shape.length && a.shape.every((size, i) => size === b.shape[i]);
}

function typeOf({ dtype, shape }: Pick<TensorPlace, "dtype" | "shape">): string {
  return `${dtype} [${shape.join(", ")}]`;
}
