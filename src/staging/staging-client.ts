import { statSync } from "node:fs";
import { ignore } from "../base/index.js";
import { ClientRing } from "./client-ring.js";
import type { ClientConnection, ClientStatus, ClientTools } from "./client-tools.js";
import { DeviceFills } from "./device-fills.js";
import { StagingError, stagingError } from "./errors.js";
import type { IpcClient } from "./ipc/index.js";
import { type ClientMessage, type IpcPiece, PROTOCOL_VERSION } from "./protocol.js";
import { Publication, retire } from "./publication.js";
import { type Piece, StagedSave } from "./staged-save.js";

/** Each takes descriptors; a process writes a file or two at a time. */
const SAVES_MAX = 64;

type Hello = Extract<ClientMessage, { readonly type: "hello" }>;
type Commit = Extract<ClientMessage, { readonly type: "commit" }>;

/** A save that has not ended. */
interface Running {
  readonly save: StagedSave;
  readonly fills: DeviceFills | undefined;
  /** From `commit` on; it never rejects. */
  committing: Promise<void> | undefined;
}

/**
 * One connected process: its ring, and its saves from `begin` to their end.
 *
 * Invariants: a save's number is in at most one of #running, #committed and #failed; a slot that was handed over is given
 * back once, whatever has become of its save; after {@link leave} nothing but commits that were asked for before goes on.
 */
export class StagingClient {
  readonly #tools: ClientTools;
  readonly #connection: ClientConnection;
  /** In whose turn of the disk its requests are. */
  readonly #lane: number;
  readonly #running = new Map<number, Running>();
  readonly #committed = new Map<number, Publication>();
  readonly #failed = new Set<number>();
  #hello: Hello | undefined;
  #ring: ClientRing | undefined;
  #ipc: IpcClient | undefined;
  #welcoming = Promise.resolve();
  #reason = "";
  #leaving: Promise<void> | undefined;

  constructor(tools: ClientTools, connection: ClientConnection, lane: number) {
    this.#tools = tools;
    this.#connection = connection;
    this.#lane = lane;
  }

  /** Undefined before its hello. */
  status(): ClientStatus | undefined {
    if (this.#hello === undefined || this.#ring === undefined) return undefined;
    const { pid, client } = this.#hello;
    const mode = this.#ipc === undefined ? "shm" : "ipc";
    return { pid, client, mode, reason: this.#reason, ringBytes: this.#ring.bytes, saves: this.#running.size };
  }

  /** @throws StagingError when the client does not keep to the protocol, or no ring is to be had: the connection is over */
  receive(message: ClientMessage): void {
    // The answer is that the connection ends.
    if (this.#leaving !== undefined) return;
    if (message.type === "hello") {
      this.#greet(message);
      return;
    }
    const ring = this.#ring;
    if (ring === undefined) throw new StagingError("protocol", `"${message.type}" has come before "hello"`);
    switch (message.type) {
      case "begin":
        this.#begin(message);
        return;
      case "write":
        this.#write(ring, message);
        return;
      case "fill":
        this.#write(ring, message, message.pieces);
        return;
      case "commit":
        this.#commit(message);
        return;
      case "durable":
        this.#durable(message.save);
        return;
      case "cancel":
        this.#cancel(message.save);
    }
  }

  /**
   * The client has gone, or the mount ends: saves that have not asked for their commit are undone, for this reason. Resolves
   * when the others have ended and the ring is free.
   */
  leave(reason: StagingError): Promise<void> {
    this.#leaving ??= this.#leave(reason);
    return this.#leaving;
  }

  #greet(hello: Hello): void {
    if (this.#hello !== undefined) throw new StagingError("protocol", "hello is said once");
    if (hello.version !== PROTOCOL_VERSION) {
      throw new StagingError(
        "protocol",
        `version ${hello.version} of the protocol; this mount speaks ${PROTOCOL_VERSION}`,
      );
    }
    const { addon, budget } = this.#tools;
    this.#ring = new ClientRing(addon, budget, hello);
    this.#hello = hello;
    this.#welcoming = this.#welcome(hello, this.#ring);
  }

  async #welcome(hello: Hello, { ring }: ClientRing): Promise<void> {
    this.#reason = hello.mode === "ipc" ? await this.#attach(hello, ring) : hello.reason;
    const mode = this.#ipc === undefined ? "shm" : "ipc";
    const reason = mode === hello.mode ? "" : this.#reason;
    const { slots, slotBytes, fd } = ring;
    this.#connection.sendRing({ type: "welcome", version: PROTOCOL_VERSION, mode, reason, slots, slotBytes }, fd);
  }

  /** Returns why the ring cannot be filled from device memory; empty when it can. */
  async #attach({ pidNamespace, reason }: Hello, ring: ClientRing["ring"]): Promise<string> {
    if (statSync("/proc/self/ns/pid").ino !== pidNamespace) {
      return "the client is in another PID namespace, where handles of its memory mean nothing";
    }
    try {
      this.#ipc = await this.#tools.copiers.attach(ring);
      return reason;
    } catch (error) {
      return stagingError(error).message;
    }
  }

  #begin(request: Extract<ClientMessage, { readonly type: "begin" }>): void {
    const number = request.save;
    if (this.#running.has(number)) throw new StagingError("protocol", `save ${number} has not ended yet`);
    if (this.#running.size >= SAVES_MAX) throw new StagingError("protocol", `more than ${SAVES_MAX} saves at once`);
    const onCopied = (fills: number): void => this.#connection.send({ type: "copied", save: number, fills });
    const fills = this.#ipc && new DeviceFills(this.#ipc.beginSave(), onCopied);
    const running: Running = { save: new StagedSave(this.#tools, request), fills, committing: undefined };
    this.#committed.delete(number);
    this.#failed.delete(number);
    this.#running.set(number, running);
    running.save.begin(this.#lane).then(
      () => {
        if (this.#running.get(number) === running) this.#connection.send({ type: "begun", save: number });
      },
      (error: unknown) => void this.#fail(number, running, error),
    );
  }

  /** @param pieces of device memory that the slot is filled from first */
  #write(ring: ClientRing, message: Piece & { readonly save: number }, pieces?: readonly IpcPiece[]): void {
    const { save: number, slot } = message;
    ring.take(slot, message.length);
    const running = this.#running.get(number);
    // It may have failed since the client sent this.
    const written = running === undefined ? Promise.resolve() : this.#move(ring, running, message, pieces);
    written
      .catch((error: unknown) => running && this.#fail(number, running, error))
      .finally(() => {
        ring.giveBack(slot);
        this.#connection.send({ type: "written", save: number, slot });
      })
      .catch(ignore);
  }

  #move({ ring }: ClientRing, { save, fills }: Running, piece: Piece, pieces?: readonly IpcPiece[]): Promise<void> {
    if (pieces === undefined) return save.write(ring, piece);
    if (fills === undefined) return Promise.reject(new StagingError("protocol", "nothing is filled in mode shm"));
    return save.write(ring, piece, () => fills.fill(piece.slot, pieces));
  }

  #commit(message: Commit): void {
    const { save: number } = message;
    const running = this.#running.get(number);
    if (running === undefined) {
      this.#refuseUnknown(number);
      return;
    }
    if (running.committing !== undefined) throw new StagingError("protocol", `save ${number} is being committed`);
    running.committing = this.#finish(message, running);
  }

  async #finish({ save: number, retire: retired, after = [] }: Commit, running: Running): Promise<void> {
    const { save, fills } = running;
    const { counters } = this.#tools;
    try {
      const ino = await save.commit();
      await fills?.end();
      // Cancelled in the last moment: it has its name all the same, but nobody asks for it any more.
      if (this.#running.get(number) !== running) return;
      this.#running.delete(number);
      const { parent } = save.place;
      this.#committed.set(number, new Publication(this.#tools, { ino, parent, after }));
      counters.committed += 1;
      counters.committedBytes += save.sizeBytes;
      this.#connection.send({ type: "committed", save: number, ino });
      void retire(this.#tools, parent, retired);
    } catch (error) {
      await this.#fail(number, running, error);
    }
  }

  #durable(number: number): void {
    const publication = this.#committed.get(number);
    const committing = this.#running.get(number)?.committing;
    if (publication !== undefined) {
      publication.published().then(
        () => this.#connection.send({ type: "published", save: number }),
        (error: unknown) => this.#sendFailed(number, stagingError(error)),
      );
    } else if (committing !== undefined) void committing.then(() => this.#durable(number));
    else this.#refuseUnknown(number);
  }

  #cancel(number: number): void {
    const running = this.#running.get(number);
    if (running === undefined) return;
    this.#running.delete(number);
    void this.#undo(running);
  }

  /**
   * Ends a save that has not ended, and says so once: when nothing is copied out of the client's device memory any more, for
   * then it frees that.
   */
  async #fail(number: number, running: Running, error: unknown): Promise<void> {
    if (this.#running.get(number) !== running) return;
    this.#running.delete(number);
    this.#failed.add(number);
    this.#tools.counters.failed += 1;
    const failure = stagingError(error);
    if (failure.kind === "io") this.#tools.log.warn({ err: error }, "a checkpoint could not be saved");
    await this.#undo(running);
    this.#sendFailed(number, failure);
  }

  async #undo({ save, fills }: Running): Promise<void> {
    save.discard();
    await fills?.end().catch(ignore);
  }

  /** Of a save that has failed the client has heard, or is about to. */
  #refuseUnknown(number: number): void {
    if (this.#failed.has(number)) return;
    this.#sendFailed(number, new StagingError("protocol", `there is no save ${number}`));
  }

  #sendFailed(save: number, { kind, message }: StagingError): void {
    this.#connection.send({ type: "failed", save, kind, message });
  }

  async #leave(reason: StagingError): Promise<void> {
    const unasked = [...this.#running].filter(([, { committing }]) => committing === undefined);
    await Promise.all(unasked.map(([number, running]) => this.#fail(number, running, reason)));
    await this.#welcoming.catch(ignore);
    for (const { committing } of [...this.#running.values()]) await committing;
    await this.#ipc?.detach();
    await this.#ring?.close();
  }
}
