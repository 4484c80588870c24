import { type Clock, type Ino, ignore, type OpSeq, shareLoop } from "../base/index.js";
import type { MetadataLog, PendingOperation } from "../meta/index.js";
import type { Readiness } from "./content-coverage.js";
import { PublishError } from "./errors.js";
import { PendingOperations, type Wanted } from "./pending-operations.js";
import type { Publisher, PublishStatus } from "./publisher.js";
import { SegmentShipper } from "./segment-shipper.js";
import { sizeClassOf } from "./upload-group.js";
import type { UploadTools } from "./upload-job.js";
import { UploadScheduler } from "./upload-scheduler.js";

/** Small files closed earlier in a directory are published with an fsync of it, up to this many bytes together. */
const COMPANION_BYTES_MAX = 16 << 20;
/** Looking at an operation takes a few microseconds. */
const LOOKED_AT_AT_ONCE = 64;

export interface PublisherTools extends UploadTools {
  readonly log: MetadataLog;
  readonly clock: Clock;
  /** One line for the log; the publisher goes on by itself. */
  readonly warn: (message: string, error: unknown) => void;
}

/**
 * The publisher of one writing mount: {@link UploadScheduler} brings content into the backend and {@link SegmentShipper} the
 * operations after it; here is decided what somebody who waits needs of both.
 */
export class BackgroundPublisher implements Publisher {
  readonly #tools: PublisherTools;
  readonly #pending = new PendingOperations();
  readonly #uploads: UploadScheduler;
  readonly #shipper: SegmentShipper;
  #lastSeq = 0;
  #lastError: string | undefined;
  /** Of the transfer, when an upload succeeded last: more of them mean that one is in trouble. */
  #retriesAtSuccess = 0;
  #stopped: PublishError | undefined;

  constructor(tools: PublisherTools) {
    this.#tools = tools;
    this.#uploads = new UploadScheduler(tools, tools.clock, {
      currentSeq: () => this.#lastSeq,
      isContentNeeded: (ino) => this.#pending.needContent(ino),
      onLateContent: (ino, content) => {
        const place = this.#pending.placeOfLateContent(ino);
        return place !== undefined && tools.metadata.addLateContent(ino, content, place);
      },
      onUploaded: (urgent) => {
        this.#lastError = undefined;
        this.#retriesAtSuccess = tools.transfer.counters.retries;
        this.#shipper.ask(urgent || this.#shipper.isAwaited);
      },
      onError: (error) => this.#failed("upload failed, trying again", error),
    });
    this.#shipper = new SegmentShipper({
      ...{ log: tools.log, clock: tools.clock, pending: this.#pending },
      readinessOf: (operation) => this.#readinessOf(operation),
      isQuiet: () => this.#uploads.running === 0 && this.#uploads.dirty.size === 0,
      onShipped: () => {
        this.#lastError = undefined;
      },
      onContentShipped: (ino) => this.#uploads.coverage.forget(ino),
      onError: (error) => this.#failed("shipping metadata failed, trying again", error),
      onLeaseLost: (error) => this.#stop(new PublishError("lease-lost", error.message, { cause: error })),
    });
  }

  /** Takes up what an earlier mount left. */
  start(): void {
    const { metadata, log } = this.#tools;
    const add = (operation: PendingOperation): void => {
      this.#pending.add(operation);
      this.#lastSeq = operation.seq;
      this.#shipper.ask(false);
    };
    for (const operation of metadata.pendingOperations()) {
      add(operation);
      const { content } = operation.dependencies;
      if (content !== undefined && metadata.inode(content) === undefined) this.#uploads.coverage.assumeLost(content);
    }
    metadata.onOperation(add);
    log.onLeaseLost((reason) => this.#stop(new PublishError("lease-lost", reason)));
    this.#uploads.start();
  }

  async syncInode(ino: Ino): Promise<void> {
    this.#assertRunning();
    await this.#uploads.upload(ino);
    // Removed meanwhile: there is nothing left that could be found again.
    if (this.#tools.metadata.inode(ino) === undefined) return;
    await this.#publish({ inodes: [ino], directories: [] });
  }

  async syncDirectory(ino: Ino): Promise<void> {
    this.#assertRunning();
    await this.#publish({ inodes: [ino], directories: [ino] });
  }

  async syncAll(): Promise<void> {
    this.#assertRunning();
    const before = this.#lastSeq;
    await this.#uploads.uploadAll([...this.#uploads.dirty.inodes()]);
    const needed = new Set<OpSeq>();
    // Later ones: the content that was just uploaded. What is not ready among them came after the call.
    for (const operation of this.#pending.values()) {
      await shareLoop();
      if (operation.seq <= before || this.#readinessOf(operation) !== "waiting") needed.add(operation.seq);
    }
    await this.#shipper.shipped(needed);
  }

  async drain(deadlineMs: number, onProgress: (status: PublishStatus) => void = ignore): Promise<PublishStatus> {
    if (this.#stopped === undefined) {
      const { clock } = this.#tools;
      const everything = this.syncAll().then(() => "done" as const, ignore);
      const endMs = clock.monotonicMs() + deadlineMs;
      onProgress(this.status());
      for (let left = deadlineMs; left > 0; left = endMs - clock.monotonicMs()) {
        if ((await Promise.race([everything, clock.sleep(Math.min(left, 500))])) === "done") break;
        onProgress(this.status());
      }
      this.#stop(new PublishError("stopped", "the mount is being ended"));
    }
    await this.#uploads.recount();
    return this.status();
  }

  status(): PublishStatus {
    const { files, bytes, oldestMs } = this.#uploads.dirty.totals();
    return {
      pendingFiles: files,
      pendingBytes: bytes,
      pendingOperations: this.#pending.size,
      oldestDirtyAgeMs: oldestMs === undefined ? 0 : Math.max(0, this.#tools.clock.nowMs() - oldestMs),
      lastError: this.#lastError ?? this.#uploadTrouble(),
    };
  }

  /** Ships the operations these inodes and directories need, uploading first whatever content those name. */
  async #publish(wanted: Wanted): Promise<void> {
    const needed = await this.#pending.neededBy(wanted);
    let contents = await this.#unreadyContents(needed);
    const companions = this.#uploadCompanions(needed, contents);
    while (contents.size > 0) {
      await this.#uploads.uploadAll(contents);
      // Their content operations are needed now too.
      for (const seq of await this.#pending.neededBy({ inodes: contents, directories: [] })) needed.add(seq);
      // What was replaced before it could be uploaded is published with what replaced it.
      const removed = [...contents].filter((ino) => this.#tools.metadata.inode(ino) === undefined);
      contents = await this.#unreadyContents(await this.#pending.neededBy({ inodes: removed, directories: [] }));
    }
    await companions;
    // What is not ready came after the call.
    let count = 0;
    for (const seq of needed) {
      if (++count % LOOKED_AT_AT_ONCE === 0) await shareLoop();
      if (!this.#isPendingAndReady(seq)) needed.delete(seq);
    }
    await this.#shipper.shipped(needed);
  }

  /** Files whose content must be uploaded before these operations can be published. */
  async #unreadyContents(seqs: ReadonlySet<OpSeq>): Promise<Set<Ino>> {
    const contents = new Set<Ino>();
    let count = 0;
    for (const seq of seqs) {
      if (++count % LOOKED_AT_AT_ONCE === 0) await shareLoop();
      const content = this.#pending.get(seq)?.dependencies.content;
      if (content !== undefined && this.#readiness(seq) === "waiting") contents.add(content);
    }
    return contents;
  }

  /**
   * Uploads small files that were closed in the same directories before, so that they are not passed. That is a courtesy:
   * when it fails for one of them, that one is passed.
   */
  async #uploadCompanions(needed: ReadonlySet<OpSeq>, contents: ReadonlySet<Ino>): Promise<void> {
    if (contents.size === 0) return;
    const { dirty } = this.#uploads;
    const uploads = new Map<Ino, Promise<void>>();
    let bytes = 0;
    let count = 0;
    for (const operation of this.#besides(needed)) {
      if (++count % LOOKED_AT_AT_ONCE === 0) await shareLoop();
      if (this.#stopped !== undefined) return;
      const { content } = operation.dependencies;
      if (content === undefined || contents.has(content) || uploads.has(content)) continue;
      if (!dirty.isClosed(content) || dirty.hasFailed(content) || this.#readinessOf(operation) !== "waiting") continue;
      const sizeBytes = dirty.sizeOf(content);
      if (bytes + sizeBytes <= COMPANION_BYTES_MAX) {
        bytes += sizeBytes;
        uploads.set(content, this.#uploads.upload(content).catch(ignore));
      } else if (sizeClassOf(sizeBytes) === "small") break;
    }
    await Promise.all(uploads.values());
  }

  /** Operations in the directories of these, up to the last of them. */
  *#besides(seqs: ReadonlySet<OpSeq>): Iterable<PendingOperation> {
    const directories = new Set<Ino>();
    let last = 0;
    for (const seq of seqs) {
      last = Math.max(last, seq);
      for (const directory of this.#pending.get(seq)?.dependencies.directories ?? []) directories.add(directory);
    }
    for (const directory of directories) {
      for (const operation of this.#pending.inDirectory(directory)) {
        if (operation.seq > last) break;
        yield operation;
      }
    }
  }

  #readinessOf({ seq, dependencies: { content } }: PendingOperation): Readiness {
    return content === undefined ? "ready" : this.#uploads.coverage.readiness(content, seq);
  }

  /** Undefined when the operation is not pending. */
  #readiness(seq: OpSeq): Readiness | undefined {
    const operation = this.#pending.get(seq);
    return operation && this.#readinessOf(operation);
  }

  #isPendingAndReady(seq: OpSeq): boolean {
    const readiness = this.#readiness(seq);
    return readiness !== undefined && readiness !== "waiting";
  }

  #failed(what: string, error: unknown): void {
    this.#lastError = error instanceof Error ? error.message : String(error);
    this.#tools.warn(what, error);
  }

  /** Workers try again by themselves, for ever; so far they have told the transfer only. */
  #uploadTrouble(): string | undefined {
    const { retries, lastError } = this.#tools.transfer.counters;
    return this.#uploads.running > 0 && retries > this.#retriesAtSuccess ? lastError : undefined;
  }

  #assertRunning(): void {
    if (this.#stopped !== undefined) throw this.#stopped;
  }

  #stop(reason: PublishError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = reason;
    if (reason.kind === "lease-lost") this.#failed("publishing stopped", reason);
    this.#uploads.stop(reason);
    this.#shipper.stop(reason);
  }
}
