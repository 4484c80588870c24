import type { MountOptions } from "./mount-options.js";

const DEFAULT_SHARE = 0.25;
const DEFAULT_BYTES_MAX = 8 * 1024 ** 3;

/**
 * Memory that checkpoints on their way to the disk may take together. Without `--staging-memory` a quarter of what there is,
 * at most 8 GiB: it is pinned while a GPU copies into it, and the trainer's own pages need room too.
 * @param machineBytes of the machine, or of the container where that is less
 */
export function stagingMemoryBytes(options: Pick<MountOptions, "stagingMemoryBytes">, machineBytes: number): number {
  return options.stagingMemoryBytes ?? Math.min(Math.floor(machineBytes * DEFAULT_SHARE), DEFAULT_BYTES_MAX);
}
