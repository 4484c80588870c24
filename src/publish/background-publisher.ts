import { type Clock, type Ino, ignore, type OpSeq, shareLoop } from "../base/index.js";
import type { MetadataLog, PendingOperation } from "../meta/index.js";
import { PublishError } from "./errors.js";
import { PendingOperations, type Wanted } from "./pending-operations.js";
import type { Publisher, PublishStatus } from "./publisher.js";
import { SegmentShipper } from "./segment-shipper.js";
import type { UploadTools } from "./upload-job.js";
import { type Readiness, UploadScheduler } from "./upload-scheduler.js";

/** Small files closed earlier in the same directory are published with an fsync, up to this many bytes together. */
const COMPANION_BYTES_MAX = 16 << 20;

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
      onContentShipped: (ino) => this.#uploads.forget(ino),
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
      if (content !== undefined && metadata.inode(content) === undefined) this.#uploads.assumeLost(content);
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
    await Promise.all([...this.#uploads.dirty.inodes()].map((ino) => this.#uploads.upload(ino)));
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
    return this.status();
  }

  status(): PublishStatus {
    const { metadata, clock } = this.#tools;
    let pendingBytes = 0;
    let pendingFiles = 0;
    let oldestMs = clock.nowMs();
    for (const ino of this.#uploads.dirty.inodes()) {
      const local = metadata.local(ino);
      if (local === undefined || !local.dirty) continue;
      pendingFiles++;
      pendingBytes += this.#uploads.sizeOf(ino);
      if (local.dirtySinceMs > 0) oldestMs = Math.min(oldestMs, local.dirtySinceMs);
    }
    return {
      pendingFiles,
      pendingBytes,
      pendingOperations: this.#pending.size,
      oldestDirtyAgeMs: pendingFiles === 0 ? 0 : clock.nowMs() - oldestMs,
      lastError: this.#lastError ?? this.#uploadTrouble(),
    };
  }

  /** Ships the operations these inodes and directories need, uploading first whatever content those name. */
  async #publish(wanted: Wanted): Promise<void> {
    const needed = this.#pending.neededBy(wanted);
    let contents = this.#unreadyContents(needed);
    const companions = this.#companions(needed, contents);
    while (contents.size > 0) {
      await Promise.all([...contents].map((ino) => this.#uploads.upload(ino)));
      // Their content operations are needed now too.
      for (const seq of this.#pending.neededBy({ inodes: [...contents], directories: [] })) needed.add(seq);
      // What was replaced before it could be uploaded is published with what replaced it.
      const removed = [...contents].filter((ino) => this.#tools.metadata.inode(ino) === undefined);
      contents = this.#unreadyContents(this.#pending.neededBy({ inodes: removed, directories: [] }));
    }
    await companions;
    // What is not ready came after the call.
    for (const seq of needed) if (!this.#isPendingAndReady(seq)) needed.delete(seq);
    await this.#shipper.shipped(needed);
  }

  /** Files whose content must be uploaded before these operations can be published. */
  #unreadyContents(seqs: ReadonlySet<OpSeq>): Set<Ino> {
    const contents = new Set<Ino>();
    for (const seq of seqs) {
      const operation = this.#pending.get(seq);
      const content = operation?.dependencies.content;
      if (content !== undefined && this.#readiness(seq) === "waiting") contents.add(content);
    }
    return contents;
  }

  /**
   * Uploads small files that were closed in the same directories before, so that they are not passed. That is a courtesy:
   * when it fails for one of them, that one is passed.
   */
  async #companions(needed: ReadonlySet<OpSeq>, contents: ReadonlySet<Ino>): Promise<void> {
    if (contents.size === 0) return;
    const { dirty } = this.#uploads;
    const directories = new Set<Ino>();
    let last = 0;
    for (const seq of needed) {
      last = Math.max(last, seq);
      for (const directory of this.#pending.get(seq)?.dependencies.directories ?? []) directories.add(directory);
    }
    const companions = new Set<Ino>();
    let bytes = 0;
    for (const directory of directories) {
      for (const operation of this.#pending.inDirectory(directory)) {
        if (operation.seq > last) break;
        const { content } = operation.dependencies;
        if (content === undefined || contents.has(content) || companions.has(content)) continue;
        if (dirty.isOpen(content) || dirty.hasFailed(content) || this.#readinessOf(operation) !== "waiting") continue;
        const sizeBytes = this.#uploads.sizeOf(content);
        if (bytes + sizeBytes > COMPANION_BYTES_MAX) continue;
        bytes += sizeBytes;
        companions.add(content);
      }
    }
    await Promise.all([...companions].map((ino) => this.#uploads.upload(ino).catch(ignore)));
  }

  #readinessOf({ seq, dependencies: { content } }: PendingOperation): Readiness {
    return content === undefined ? "ready" : this.#uploads.readiness(content, seq);
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
