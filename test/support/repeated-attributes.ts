import type { Ino } from "../../src/base/index.js";
import type { Attributes, FileSystem } from "../../src/fs/index.js";
import { KnownAttributes } from "../../src/fuse/native/known-attributes.js";
import { Reply } from "../../src/fuse/native/reply.js";
import { EXCLUSIVE_VALIDITY } from "../../src/fuse/transport.js";
import { ATTRIBUTE_SLOT_BYTES } from "../../src/native/index.js";

const ANSWER = 8;
const ANSWER_BYTES = 104;

/**
 * The engine's memory of answers to GETATTR, kept as native/fuse/attribute_answers.cc does: what is in it may be compared
 * with what the filesystem says.
 */
export class RepeatedAttributes {
  readonly #known = new KnownAttributes();
  readonly #table = Buffer.from(this.#known.table.buffer);
  readonly #reply = new Reply(new Uint8Array(256), EXCLUSIVE_VALIDITY);

  constructor(fileSystem: FileSystem) {
    fileSystem.watchAttributes?.(this.#known);
  }

  /** GETATTR was asked for, and this is the answer. */
  learn(attributes: Attributes): void {
    if (!attributes.cacheable || attributes.nlink === 0) return;
    const at = this.#at(attributes.ino);
    this.#table.writeBigUInt64LE(BigInt(attributes.ino), at);
    this.#encode(attributes).copy(this.#table, at + ANSWER);
  }

  /** The answer that would be repeated; undefined when JavaScript would be asked. */
  repeated(ino: Ino): Buffer | undefined {
    const at = this.#at(ino);
    const isThere = this.#table.readBigUInt64LE(at) === BigInt(ino);
    return isThere ? Buffer.from(this.#table.subarray(at + ANSWER, at + ANSWER + ANSWER_BYTES)) : undefined;
  }

  /** What JavaScript answers. */
  answerOf(attributes: Attributes): Buffer {
    return Buffer.from(this.#encode(attributes));
  }

  #encode(attributes: Attributes): Buffer {
    return this.#reply.bytes.subarray(0, this.#reply.attributes(attributes));
  }

  #at(ino: Ino): number {
    return (ino % (this.#table.length / ATTRIBUTE_SLOT_BYTES)) * ATTRIBUTE_SLOT_BYTES;
  }
}
