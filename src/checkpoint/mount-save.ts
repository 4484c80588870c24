import { Deferred, ignore } from "../base/index.js";
import type { ClientMessage, IpcPiece, ServerMessage } from "../staging/protocol.js";
import { CheckpointError } from "./errors.js";
import type { SaveTarget, WithCommit } from "./sink.js";

/** What a save needs of its connection. */
export interface MountLink {
  send(message: ClientMessage): void;
  /** Resolves when the slot, about which something has just been sent, is free again. */
  written(slot: number): Promise<void>;
  /** Nothing more is expected for this save, for now. */
  quiet(save: MountSave): void;
  /** Answers are expected again. */
  listen(save: MountSave): void;
}

/** A message that concerns one save. */
export type SaveMessage = Extract<ServerMessage, { readonly save: number }>;

/**
 * One file that the mount is writing: src/staging/protocol.ts, from `begin` to `published`.
 *
 * Invariant: once {@link failure} is set, nothing is sent any more but what ends the save, and all that waits has been told.
 */
export class MountSave implements SaveTarget {
  readonly begun = new Deferred();
  readonly #committed = new Deferred();
  #published: Deferred | undefined;
  #copied = new Deferred();
  #fillsSent = 0;
  #fillsCopied = 0;
  #isCommitted = false;
  #failure: CheckpointError | undefined;

  constructor(
    readonly number: number,
    readonly what: string,
    readonly link: MountLink,
  ) {
    // Who does not wait for one of these hears of a failure from another.
    for (const { promise } of [this.begun, this.#committed, this.#copied]) promise.catch(ignore);
  }

  get failure(): CheckpointError | undefined {
    return this.#failure;
  }

  write(slot: number, offset: number, length: number, pieces: readonly IpcPiece[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.resolve();
    const about = { save: this.number, slot, offset, length };
    if (pieces.length === 0) this.link.send({ type: "write", ...about });
    else {
      this.link.send({ type: "fill", ...about, pieces });
      this.#fillsSent++;
    }
    return this.link.written(slot);
  }

  async copied(): Promise<void> {
    while (this.#fillsCopied < this.#fillsSent) await this.#copied.promise;
  }

  async commit({ retire = [], after = [] }: WithCommit): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.link.send({ type: "commit", save: this.number, retire: retire.map(asBytes), after: after.map(asBytes) });
    await this.#committed.promise;
  }

  async published(): Promise<void> {
    await this.#committed.promise;
    const published = this.#published ?? this.#askWhenPublished();
    await published.promise;
  }

  cancel(): Promise<void> {
    if (this.#failure === undefined) {
      this.link.send({ type: "cancel", save: this.number });
      this.fail(new CheckpointError("closed", `${this.what}: the save was given up`));
    }
    return Promise.resolve();
  }

  receive(message: SaveMessage): void {
    switch (message.type) {
      case "begun":
        this.begun.resolve();
        return;
      case "copied":
        this.#fillsCopied = message.fills;
        this.#copied.resolve();
        this.#copied = new Deferred();
        this.#copied.promise.catch(ignore);
        return;
      case "committed":
        this.#isCommitted = true;
        this.link.quiet(this);
        this.#committed.resolve();
        return;
      case "published":
        this.link.quiet(this);
        this.#published?.resolve();
        return;
      case "failed":
        // What is committed is not lost: the mount goes on trying.
        this.fail(
          new CheckpointError(message.kind, `${this.what}: ${message.message}`, { retryable: this.#isCommitted }),
        );
        return;
      case "written":
        return;
    }
  }

  /** The save has failed; or, after it was committed, waiting for the volume has. */
  fail(error: CheckpointError): void {
    this.link.quiet(this);
    if (this.#isCommitted) {
      this.#published?.reject(error);
      this.#published = undefined;
      return;
    }
    this.#failure ??= error;
    for (const { reject } of [this.begun, this.#copied, this.#committed]) reject(this.#failure);
  }

  #askWhenPublished(): Deferred {
    const published = new Deferred();
    published.promise.catch(ignore);
    this.#published = published;
    this.link.listen(this);
    this.link.send({ type: "durable", save: this.number });
    return published;
  }
}

/** Names are bytes in a volume. */
export function asBytes(name: string): string {
  return Buffer.from(name).toString("latin1");
}
