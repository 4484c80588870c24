import { type Clock, Deferred, type Ino, ignore, type OpSeq, type Timer } from "../base/index.js";
import { type MetadataLog, MetaError, type PendingOperation } from "../meta/index.js";
import { PublishError } from "./errors.js";
import { PendingOperations, type Wanted } from "./pending-operations.js";
import type { Publisher, PublishStatus } from "./publisher.js";
import { selectOperations } from "./selection.js";
import type { UploadTools } from "./upload-job.js";
import { UploadScheduler } from "./upload-scheduler.js";

/** Operations are shipped when nothing is being uploaded, or after this long: few, well-filled segments. */
const SHIP_WAIT_MS_MAX = 5_000;
const SHIP_DELAY_MS = 250;
const SHIP_RETRY_MS = 1_000;
/** Small files closed earlier in the same directory are published with an fsync, up to this many bytes together. */
const COMPANION_BYTES_MAX = 16 << 20;

interface Waiter {
  /** Operations that are not shipped yet. */
  readonly needed: Set<OpSeq>;
  readonly done: Deferred;
}

export interface PublisherTools extends UploadTools {
  readonly log: MetadataLog;
  readonly clock: Clock;
  /** One line for the log; the publisher goes on by itself. */
  readonly warn: (message: string, error: unknown) => void;
}

/**
 * The publisher of one writing mount. Uploads run in {@link UploadScheduler}; here operations become segments, one at
 * a time, so that whatever waits while one is under way shares the next (group commit).
 */
export class BackgroundPublisher implements Publisher {
  readonly #tools: PublisherTools;
  readonly #uploads: UploadScheduler;
  readonly #pending = new PendingOperations();
  readonly #waiters = new Set<Waiter>();
  #lastSeq = 0;
  #shipping = false;
  /** When somebody first asked for a segment, monotonic ms; undefined when nobody has. */
  #shipAskedMs: number | undefined;
  #shipTimer: Timer | undefined;
  #lastError: string | undefined;
  #stopped: PublishError | undefined;

  constructor(tools: PublisherTools) {
    this.#tools = tools;
    this.#uploads = new UploadScheduler(tools, tools.clock, {
      currentSeq: () => this.#lastSeq,
      onUploaded: (_inodes, urgent) => {
        this.#lastError = undefined;
        this.#askToShip(urgent);
      },
      onError: (error) => this.#failed("upload failed, trying again", error),
    });
  }

  /** Takes up what an earlier mount left. */
  start(): void {
    const { metadata, log } = this.#tools;
    const add = (operation: PendingOperation): void => {
      this.#pending.add(operation);
      this.#lastSeq = operation.seq;
      this.#askToShip(false);
    };
    for (const operation of metadata.pendingOperations()) add(operation);
    metadata.onOperation(add);
    log.onLeaseLost((reason) => this.#stop(new PublishError("lease-lost", reason)));
    this.#uploads.start();
  }

  async syncInode(ino: Ino): Promise<void> {
    this.#assertRunning();
    await this.#uploads.upload(ino);
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
      if (operation.seq <= before || this.#isReady(operation)) needed.add(operation.seq);
    }
    await this.#shipped(needed);
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
      lastError: this.#lastError,
    };
  }

  /** Ships the operations these inodes and directories need, uploading first whatever content those name. */
  async #publish(wanted: Wanted): Promise<void> {
    let needed = this.#pending.neededBy(wanted);
    if (needed.size === 0) return;
    const waitFor = this.#unreadyContents(needed);
    if (waitFor.size > 0) {
      await Promise.all([...waitFor].map((ino) => this.#uploads.upload(ino)));
      // Their content operations are needed now too; whatever was shipped meanwhile is not.
      const more = this.#pending.neededBy({ inodes: [...wanted.inodes, ...waitFor], directories: [] });
      needed = new Set([...needed, ...more].filter((seq) => this.#isPendingAndReady(seq)));
    }
    await this.#shipped(needed);
  }

  /** Files whose content must be uploaded before the needed operations: their own, and small companions. */
  #unreadyContents(needed: ReadonlySet<OpSeq>): Set<Ino> {
    const contents = new Set<Ino>();
    const directories = new Set<Ino>();
    let last = 0;
    for (const seq of needed) {
      const operation = this.#pending.get(seq);
      if (operation === undefined) continue;
      last = Math.max(last, seq);
      for (const directory of operation.dependencies.directories ?? []) directories.add(directory);
      if (!this.#isReady(operation) && operation.dependencies.content !== undefined) {
        contents.add(operation.dependencies.content);
      }
    }
    let companionBytes = 0;
    for (const directory of directories) {
      for (const operation of this.#pending.inDirectory(directory)) {
        const { content } = operation.dependencies;
        if (operation.seq > last || companionBytes > COMPANION_BYTES_MAX) break;
        if (content === undefined || contents.has(content) || this.#isReady(operation)) continue;
        if (this.#uploads.dirty.isOpen(content)) continue;
        companionBytes += this.#uploads.sizeOf(content);
        if (companionBytes <= COMPANION_BYTES_MAX) contents.add(content);
      }
    }
    return contents;
  }

  #isReady(operation: PendingOperation): boolean {
    const { content } = operation.dependencies;
    return content === undefined || this.#uploads.coversOperation(content, operation.seq);
  }

  #isPendingAndReady(seq: OpSeq): boolean {
    const operation = this.#pending.get(seq);
    return operation !== undefined && this.#isReady(operation);
  }

  async #shipped(needed: Set<OpSeq>): Promise<void> {
    this.#assertRunning();
    for (const seq of needed) if (!this.#pending.has(seq)) needed.delete(seq);
    if (needed.size === 0) return;
    const waiter: Waiter = { needed, done: new Deferred() };
    this.#waiters.add(waiter);
    this.#askToShip(true);
    await waiter.done.promise;
  }

  #askToShip(urgent: boolean): void {
    if (this.#stopped !== undefined || this.#shipping) {
      this.#shipAskedMs ??= this.#tools.clock.monotonicMs();
      return;
    }
    const now = this.#tools.clock.monotonicMs();
    if (urgent) {
      this.#shipTimer?.cancel();
      this.#shipAskedMs ??= now;
      this.#shipTimer = this.#tools.clock.setTimer(0, () => void this.#ship());
    } else if (this.#shipAskedMs === undefined) {
      this.#shipAskedMs = now;
      this.#shipTimer = this.#tools.clock.setTimer(SHIP_DELAY_MS, () => this.#shipWhenQuiet());
    }
  }

  /** Background shipping: not while uploads are under way whose content would fit the same segment. */
  #shipWhenQuiet(): void {
    const { clock } = this.#tools;
    const waited = clock.monotonicMs() - (this.#shipAskedMs ?? 0);
    const quiet = this.#uploads.running === 0 && this.#uploads.dirty.size === 0;
    if (quiet || waited >= SHIP_WAIT_MS_MAX) void this.#ship();
    else this.#shipTimer = clock.setTimer(SHIP_DELAY_MS, () => this.#shipWhenQuiet());
  }

  async #ship(): Promise<void> {
    if (this.#shipping || this.#stopped !== undefined) return;
    this.#shipping = true;
    this.#shipAskedMs = undefined;
    let failed = false;
    try {
      const selected = this.#select();
      if (selected.length > 0) {
        await this.#tools.log.ship(selected);
        this.#lastError = undefined;
        this.#forget(selected);
      }
    } catch (error) {
      failed = true;
      if (error instanceof MetaError && error.kind === "lease-lost") {
        this.#stop(new PublishError("lease-lost", error.message, { cause: error }));
      } else this.#failed("shipping metadata failed, trying again", error);
    } finally {
      this.#shipping = false;
    }
    if (failed) this.#retryShip();
    else if (this.#shipAskedMs !== undefined) {
      this.#shipAskedMs = undefined;
      this.#askToShip(this.#waiters.size > 0);
    }
  }

  #retryShip(): void {
    if (this.#stopped !== undefined) return;
    this.#shipAskedMs = this.#tools.clock.monotonicMs();
    this.#shipTimer = this.#tools.clock.setTimer(SHIP_RETRY_MS, () => void this.#ship());
  }

  #select(): OpSeq[] {
    const needed = new Set<OpSeq>();
    for (const waiter of this.#waiters) for (const seq of waiter.needed) needed.add(seq);
    return selectOperations(this.#pending.values(), (operation) => this.#isReady(operation), needed);
  }

  #forget(shipped: readonly OpSeq[]): void {
    for (const seq of shipped) this.#pending.delete(seq);
    for (const waiter of this.#waiters) {
      for (const seq of shipped) waiter.needed.delete(seq);
      if (waiter.needed.size > 0) continue;
      this.#waiters.delete(waiter);
      waiter.done.resolve();
    }
  }

  #failed(what: string, error: unknown): void {
    this.#lastError = error instanceof Error ? error.message : String(error);
    this.#tools.warn(what, error);
  }

  #assertRunning(): void {
    if (this.#stopped !== undefined) throw this.#stopped;
  }

  #stop(reason: PublishError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = reason;
    if (reason.kind === "lease-lost") this.#failed("publishing stopped", reason);
    this.#shipTimer?.cancel();
    this.#uploads.stop(reason);
    for (const waiter of this.#waiters) waiter.done.reject(reason);
    this.#waiters.clear();
  }
}
