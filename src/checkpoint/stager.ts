import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { systemClock } from "../base/index.js";
import { type Addon, loadAddon, type StagingIo } from "../native/index.js";
import { listCheckpoints } from "./catalog.js";
import { Devices } from "./devices.js";
import { CheckpointError, withErrors } from "./errors.js";
import type { CheckpointInfo } from "./inspect.js";
import { type LoadOptions, load, loadInto } from "./load.js";
import { checkName } from "./names.js";
import { openSink } from "./open-sink.js";
import { type Placement, placementOf, saveIdOf } from "./placement.js";
import { type Removal, removeCheckpoint } from "./remove.js";
import { checkKeep } from "./retention.js";
import { RunningSaves, type Save } from "./save.js";
import { planSave } from "./save-content.js";
import type { Sink, StagerMode } from "./sink.js";
import { startSave } from "./start-save.js";
import { isDeviceMemory, type LoadedTensor, type Tensor } from "./tensors.js";

const RING_BYTES_DEFAULT = 512 << 20;

export interface StagerOptions {
  /** "auto" (the default): through the mount that the directory is in; where there is none, or it cannot, "file". */
  readonly mode?: "auto" | StagerMode;
  /** How much of a save is copied before it has to wait for the disk; at least 4 MiB. Memory is taken as it is used. */
  readonly ringBytes?: number;
  /** So many checkpoints stay: older ones that podfs wrote are removed once a new one is in the volume. */
  readonly keep?: number;
  /** Which of the processes that save together this is, from 0; with `ranks`. */
  readonly rank?: number;
  /** How many processes save together, each its own file of a checkpoint. */
  readonly ranks?: number;
}

export interface SaveOptions {
  /** Text of the program's own. Keys that begin with "podfs." are taken. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Replace the checkpoint of that name, once the new one is whole. */
  readonly overwrite?: boolean;
  /** With several ranks: any text, the same on all of them, and a new one for each save. */
  readonly saveId?: string;
}

/** What a stager is made of. */
interface Parts {
  readonly directory: string;
  readonly addon: Addon;
  readonly io: StagingIo;
  readonly ringBytes: number;
  readonly keep: number | undefined;
  readonly placement: Placement;
  readonly sink: Sink;
}

/**
 * Saves tensors as safetensors files of a directory, and loads them: at the speed of memory, while the disk follows, and in
 * a podfs mount the volume behind it. What is not whole is never seen.
 *
 * All calls may run at once. A stager whose mount has gone connects again with the next call.
 */
export class Stager {
  readonly directory: string;
  readonly #addon: Addon;
  readonly #io: StagingIo;
  readonly #devices: Devices;
  readonly #ringBytes: number;
  readonly #keep: number | undefined;
  readonly #placement: Placement;
  readonly #saves = new RunningSaves();
  // What uses the ring, besides saves that have been copied.
  readonly #running = new Set<Promise<unknown>>();
  #sink: Sink;
  #opening: Promise<Sink> | undefined;
  #closed = false;

  private constructor({ directory, addon, io, ringBytes, keep, placement, sink }: Parts) {
    this.directory = directory;
    this.#addon = addon;
    this.#io = io;
    this.#ringBytes = ringBytes;
    this.#keep = keep;
    this.#placement = placement;
    this.#devices = new Devices(addon);
    this.#sink = sink;
  }

  /**
   * @param directory must exist.
   * @throws CheckpointError not-found, not-directory; no-mount: the mode needs one. UserError: an option makes no sense.
   */
  static async open(directory: string, options: StagerOptions = {}): Promise<Stager> {
    const { mode = "auto", ringBytes = RING_BYTES_DEFAULT, keep, rank, ranks } = options;
    checkKeep(keep);
    const placement = placementOf(rank, ranks);
    const path = resolve(directory);
    const stats = await withErrors(path, () => stat(path));
    if (!stats.isDirectory()) throw new CheckpointError("not-directory", `${path} is not a directory`);
    const addon = loadAddon();
    const io = addon.createStagingIo();
    try {
      const sink = await withErrors(path, () => openSink(addon, { directory: path, mode, ringBytes, io }));
      return new Stager({ directory: path, addon, io, ringBytes, keep, placement, sink });
    } catch (error) {
      io.close();
      throw error;
    }
  }

  /** What is in use. */
  get mode(): StagerMode {
    return this.#sink.mode;
  }

  /** Why it is not the first choice, or slower than it could be; empty if neither. */
  get reason(): string {
    return this.#sink.reason || this.#devices.unpinned;
  }

  /**
   * Saves tensors as the checkpoint `name`, the file `NAME.safetensors`. Resolves when they have been copied, and may be
   * changed again, which waits for the disk only where the ring is smaller than the checkpoint.
   *
   * Of several ranks: this one's file; every rank saves its own, and the last one the index. With `overwrite`, the checkpoint that
   * was there stays until then.
   * @throws CheckpointError exists; no-space, before anything is copied; invalid-tensor; invalid-name; device …
   *   UserError: several ranks, and no saveId.
   */
  async save(tensors: Readonly<Record<string, Tensor>>, name: string, options: SaveOptions = {}): Promise<Save> {
    const { metadata = {}, overwrite = false } = options;
    const checkpoint = checkName(name);
    const saveId = saveIdOf(options.saveId, this.#placement);
    const nowMs = systemClock.nowMs();
    const content = planSave(tensors, metadata, { ...this.#placement, saveId, nowMs });
    return this.#run(() =>
      this.#saves.add(checkpoint, async (before) => {
        const sink = await this.#openSink();
        await this.#checkDevices(content.tensors.values(), sink);
        const what = { directory: this.directory, checkpoint, content, saveId, nowMs, overwrite, keep: this.#keep };
        return startSave({ ...what, ...this.#placement, ...before }, { sink, devices: this.#devices });
      }),
    );
  }

  /**
   * Waits for all saves so far: until they are on the local disk, or, durable, in the volume.
   * @throws CheckpointError the first of those that have failed; each is said once.
   */
  async wait({ durable = false }: { readonly durable?: boolean } = {}): Promise<void> {
    await this.#saves.wait(durable);
  }

  /**
   * Loads a checkpoint, of whatever program and however many files, into new memory.
   * @throws CheckpointError not-found; incomplete; damaged; mismatch: it has no tensor of a wanted name.
   */
  async load(name: string, options: LoadOptions = {}): Promise<Record<string, LoadedTensor>> {
    const where = { directory: this.directory, name: checkName(name) };
    return this.#run(async () => {
      return load(where, options, { io: this.#io, sink: await this.#openSink(), devices: this.#devices });
    });
  }

  /**
   * Loads tensors into memory of the program, or of GPUs.
   * @param targets by name; dtype and shape must be those of the checkpoint.
   * @throws CheckpointError as {@link load}; mismatch: the first few differences.
   */
  async loadInto(name: string, targets: Readonly<Record<string, Tensor>>): Promise<void> {
    const where = { directory: this.directory, name: checkName(name) };
    await this.#run(async () => {
      const sink = await this.#openSink();
      await this.#checkDevices(Object.values(targets), sink);
      await loadInto(where, targets, { io: this.#io, sink, devices: this.#devices });
    });
  }

  /** The checkpoints in the directory, newest first, also those that are incomplete, damaged, or not of podfs. */
  list(): Promise<CheckpointInfo[]> {
    return listCheckpoints(this.directory);
  }

  /** Removes a checkpoint and all its files. @throws CheckpointError not-found, not-checkpoint */
  remove(name: string): Promise<Removal> {
    return removeCheckpoint(this.directory, checkName(name));
  }

  /**
   * Waits until saves are committed, then gives everything back.
   * @throws CheckpointError a save that has failed, and nobody was told.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await Promise.allSettled(this.#running);
      await this.#saves.wait(false);
    } finally {
      await this.#devices.release(this.#sink.ring);
      await this.#sink.close();
      await this.#devices.close();
      this.#io.close();
    }
  }

  /** Finds out before anything is begun whether the GPUs can be reached; pins the ring where this process is to copy. */
  async #checkDevices(tensors: Iterable<Tensor>, sink: Sink): Promise<void> {
    for (const { data } of tensors) {
      if (!isDeviceMemory(data)) continue;
      if (sink.mode === "ipc") await this.#devices.copierOf(data);
      else await this.#devices.copierFor(data, sink.ring);
    }
  }

  /** Does something with the ring, which stays until it is done. */
  async #run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new CheckpointError("closed", "the stager was closed");
    const running = task();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** The sink in use; a new one where its mount has gone. */
  async #openSink(): Promise<Sink> {
    if (this.#sink.failure === undefined) return this.#sink;
    this.#opening ??= this.#reopen().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** In the same mode: where the mount has gone, its mount point is an empty directory of some other disk. */
  async #reopen(): Promise<Sink> {
    const old = this.#sink;
    const options = { mode: old.mode, ringBytes: this.#ringBytes, directory: this.directory, io: this.#io };
    this.#sink = await withErrors(this.directory, () => openSink(this.#addon, options));
    await this.#devices.release(old.ring);
    await old.close();
    return this.#sink;
  }
}
