import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { systemClock } from "../base/index.js";
import { type Addon, loadAddon, type StagingIo } from "../native/index.js";
import { filesOf, listCheckpoints } from "./catalog.js";
import { Devices } from "./devices.js";
import { CheckpointError, withErrors } from "./errors.js";
import { type FileContent, fillSlots } from "./fill.js";
import type { CheckpointInfo } from "./inspect.js";
import { type LoadOptions, load, loadInto } from "./load.js";
import { checkName, singleFile } from "./names.js";
import { openSink } from "./open-sink.js";
import { type Removal, removeCheckpoint } from "./remove.js";
import { RunningSave, RunningSaves, type Save } from "./save.js";
import { planSave } from "./save-content.js";
import type { Sink, StagerMode } from "./sink.js";
import { isDeviceMemory, type LoadedTensor, type Tensor } from "./tensors.js";

const RING_BYTES_DEFAULT = 512 << 20;

export interface StagerOptions {
  /** "auto" (the default): through the mount that the directory is in; where there is none, or it cannot, "file". */
  readonly mode?: "auto" | StagerMode;
  /** How much of a save is copied before it has to wait for the disk; at least 4 MiB. Memory is taken as it is used. */
  readonly ringBytes?: number;
}

export interface SaveOptions {
  /** Text of the program's own. Keys that begin with "podfs." are taken. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Replace the checkpoint of that name, once the new one is whole. */
  readonly overwrite?: boolean;
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
  readonly #saves = new RunningSaves();
  // What uses the ring, besides saves that have been copied.
  readonly #running = new Set<Promise<unknown>>();
  #sink: Sink;
  #opening: Promise<Sink> | undefined;
  #closed = false;

  private constructor(directory: string, addon: Addon, io: StagingIo, ringBytes: number, sink: Sink) {
    this.directory = directory;
    this.#addon = addon;
    this.#io = io;
    this.#ringBytes = ringBytes;
    this.#devices = new Devices(addon);
    this.#sink = sink;
  }

  /**
   * @param directory must exist.
   * @throws CheckpointError not-found, not-directory; no-mount: the mode needs one. UserError: an option makes no sense.
   */
  static async open(directory: string, options: StagerOptions = {}): Promise<Stager> {
    const { mode = "auto", ringBytes = RING_BYTES_DEFAULT } = options;
    const path = resolve(directory);
    const stats = await withErrors(path, () => stat(path));
    if (!stats.isDirectory()) throw new CheckpointError("not-directory", `${path} is not a directory`);
    const addon = loadAddon();
    const io = addon.createStagingIo();
    try {
      const sink = await withErrors(path, () => openSink(addon, { directory: path, mode, ringBytes, io }));
      return new Stager(path, addon, io, ringBytes, sink);
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
   * @throws CheckpointError exists; no-space, before anything is copied; invalid-tensor; invalid-name; device …
   */
  async save(tensors: Readonly<Record<string, Tensor>>, name: string, options: SaveOptions = {}): Promise<Save> {
    const { metadata = {}, overwrite = false } = options;
    const checkpoint = checkName(name);
    const content = planSave(tensors, metadata, systemClock.nowMs());
    return this.#run(async (sink) => {
      await this.#checkDevices(content.tensors.values(), sink);
      const retire = await this.#filesToReplace(checkpoint, overwrite);
      const save = await this.#start(sink, checkpoint, content, { overwrite, retire });
      this.#saves.add(save);
      return save;
    });
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
    return this.#run((sink) => load(where, options, { io: this.#io, sink, devices: this.#devices }));
  }

  /**
   * Loads tensors into memory of the program, or of GPUs.
   * @param targets by name; dtype and shape must be those of the checkpoint.
   * @throws CheckpointError as {@link load}; mismatch: the first few differences.
   */
  async loadInto(name: string, targets: Readonly<Record<string, Tensor>>): Promise<void> {
    const where = { directory: this.directory, name: checkName(name) };
    await this.#run(async (sink) => {
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

  async #start(
    sink: Sink,
    checkpoint: string,
    content: FileContent,
    { overwrite, retire }: { readonly overwrite: boolean; readonly retire: readonly string[] },
  ): Promise<Save> {
    const fileName = singleFile(checkpoint);
    const path = join(this.directory, fileName);
    const { sizeBytes } = content.layout;
    const target = await withErrors(path, () =>
      sink.begin({ directory: this.directory, fileName, sizeBytes, replace: overwrite }),
    );
    try {
      const { written } = await fillSlots({ content, target, sink, devices: this.#devices });
      const commit = written.then(() => target.commit(retire));
      return new RunningSave(checkpoint, path, sizeBytes, { target, commit });
    } catch (error) {
      await target.cancel();
      throw error;
    }
  }

  /** @returns what a checkpoint of this name has left besides, if it was one of several files. */
  async #filesToReplace(checkpoint: string, overwrite: boolean): Promise<string[]> {
    const { single, index, shards } = await filesOf(this.directory, checkpoint);
    if (overwrite) return [...(index === undefined ? [] : [index]), ...[...shards.values()].flat()];
    const there = single ?? index;
    if (there === undefined) return [];
    throw new CheckpointError("exists", `${join(this.directory, there)} exists; overwrite: true replaces it`);
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
  async #run<T>(task: (sink: Sink) => Promise<T>): Promise<T> {
    if (this.#closed) throw new CheckpointError("closed", "the stager was closed");
    const running = this.#openSink().then(task);
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
